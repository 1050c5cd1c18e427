import * as ecrSdk from '@aws-sdk/client-ecr';
import * as inspectorSdk from '@aws-sdk/client-inspector2';
import { describe, expect, test } from 'vitest';
import { coverageOf, severityOf, statusOf, type Words } from '../../src/providers/ecr/words.ts';

/**
 * Every word that the SDK's models have is known here: a version of the SDK that brings a new one fails these tests
 * until it has a meaning.
 */

/** The words that were met and are not known. */
function met(read: (words: Words) => void): string[] {
  const unknown: string[] = [];
  read({ unknown: (_what, word) => unknown.push(String(word)) });
  return unknown;
}

/** Reasons that concern hosts, functions and code repositories; an image of ECR never has them. */
const notOfImages = new Set([
  'AGENTLESS_INSTANCE_COLLECTION_TIME_LIMIT_EXCEEDED',
  'AGENTLESS_INSTANCE_STORAGE_LIMIT_EXCEEDED',
  'DEEP_INSPECTION_COLLECTION_TIME_LIMIT_EXCEEDED',
  'DEEP_INSPECTION_DAILY_SSM_INVENTORY_LIMIT_EXCEEDED',
  'DEEP_INSPECTION_NO_INVENTORY',
  'DEEP_INSPECTION_PACKAGE_COLLECTION_LIMIT_EXCEEDED',
  'EC2_INSTANCE_STOPPED',
  'NO_INVENTORY',
  'RESOURCE_STOPPED',
  'RESOURCE_UNMANAGED',
  'STALE_INVENTORY',
  'UNMANAGED_EC2_INSTANCE',
]);

describe('words of the SDK', () => {
  test('scan states of ECR', () => {
    const words = Object.values(ecrSdk.ScanStatus);
    expect(words.length).toBeGreaterThan(9);
    expect(met((to) => words.map((word) => statusOf(word, to)))).toEqual([]);
  });

  test('severities of ECR and of Inspector', () => {
    const words = [...Object.values(ecrSdk.FindingSeverity), ...Object.values(inspectorSdk.Severity)];
    expect(words.length).toBeGreaterThan(11);
    expect(met((to) => words.map((word) => severityOf(word, to)))).toEqual([]);
  });

  test("reasons of Inspector's coverage", () => {
    const words = Object.values(inspectorSdk.ScanStatusReason).filter((word) => !notOfImages.has(word));
    expect(words.length).toBeGreaterThan(20);
    expect(met((to) => words.map((word) => coverageOf(word, 1, to)))).toEqual([]);
  });
});

/**
 * Words that the service's own model has and the newest SDK for JavaScript does not yet:
 * https://github.com/boto/botocore/blob/1.44.8/botocore/data/inspector2/2020-06-08/service-2.json
 * https://github.com/boto/botocore/blob/1.44.8/botocore/data/ecr/2015-09-21/service-2.json
 */
test.each([
  ['EXTRACTION_COLLECTION_TIME_LIMIT_EXCEEDED', 'failed'],
  ['INVALID_ARTIFACT', 'unsupported'],
  ['STORAGE_LIMIT_EXCEEDED', 'failed'],
])('the reason %s is %s', (reason, status) => {
  expect(met((to) => expect(coverageOf(reason, undefined, to)).toBe(status))).toEqual([]);
});
test('the scan state IMAGE_SIZE_EXCEEDED is unsupported', () => {
  expect(met((to) => expect(statusOf('IMAGE_SIZE_EXCEEDED', to)).toBe('unsupported'))).toEqual([]);
});
