import { describe, expect, test } from 'vitest';
import { judge } from '../../src/providers/acr/access.ts';
import { findingsQuery } from '../../src/providers/acr/findings.ts';
import type { DefenderFinding } from '../simulators/resource-graph.ts';
import { azureFixture, down, told } from '../support/azure.ts';

const { start } = azureFixture();

const families = [
  'repository_findings',
  'repository_fixable_findings',
  'repository_vulnerable_images',
  'repository_image_scans',
  'image_findings',
] as const;
const about = (lines: readonly string[]) =>
  lines.filter((line) => families.some((family) => line.startsWith(`${family}{`))).toSorted();

test.each([
  ['one assessment for each package', 'individual', true],
  ['sub-assessments, which were retired in July 2026', 'grouped', true],
  ['rows that name no registry: told apart by digest', 'individual', false],
] as const)('%s', async (_title, model, named) => {
  const { azure, running } = await start({ seed: 7, repositories: 8, model, named });
  await running.poll();
  expect(about(await running.lines(...families))).toEqual(about(azure.truth()));
  expect(await down(running)).toEqual([]);
});

test.each([
  ['with a token for the next page', true],
  ['cut short without one', false],
])('all pages of a query are read, %s', async (_title, skipTokens) => {
  const { azure, running } = await start({
    seed: 7,
    repositories: 20,
    arm: { pageRows: 7, skipTokens },
  });
  await running.poll();
  expect(about(await running.lines(...families))).toEqual(about(azure.truth()));
  const images = new Set(azure.truth().filter((line) => line.startsWith('repository_findings')));
  expect(images.size).toBeGreaterThan(7);
  expect(azure.arm.requests.get('resource_graph')).toBeGreaterThan(4);
});

test('a query without end is ended', async () => {
  const { running } = await start({ seed: 7, arm: { endlessPaging: true } });
  await running.poll();
  expect(await down(running)).toContain('findings');
  expect(told(running, 'the list never ends').length).toBeGreaterThan(0);
});

test('the number of queries does not grow with the number of findings, but with pages of a thousand images', async () => {
  const { azure, running } = await start({ seed: 7, repositories: 60 });
  await running.poll();
  azure.arm.requests.clear();
  await running.poll();
  expect(azure.arm.requests.get('resource_graph')).toBe(1);
});

describe('what Defender does not tell is unknown, and not clean', () => {
  test('an image without a finding has no status, since nothing tells whether it was scanned', async () => {
    const { azure, running } = await start({ seed: 7, repositories: 2, arm: { findings: () => [] } });
    await running.poll();
    // The plan is on: no row at all is an answer.
    expect(await down(running)).toEqual([]);
    expect(about(await running.lines(...families))).toEqual([]);
    expect(azure.arm.requests.get('resource_graph')).toBe(4);
  });

  test('Defender is off: said once, with what to do', async () => {
    const { running } = await start({ seed: 7, arm: { findings: () => [], plan: 'Free' } });
    await running.poll();
    await running.poll();
    expect(await down(running)).toEqual(['findings']);
    const lines = told(running, 'Microsoft Defender for Containers is off');
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain('findings.source to none');
  });

  test('findings that are not asked for are neither there nor missing', async () => {
    const { azure, running } = await start({ seed: 7 }, { findings: { source: 'none' } });
    await running.poll();
    expect((await running.lines('capability_up')).some((line) => line.includes('findings'))).toBe(false);
    expect(azure.arm.requests.get('resource_graph')).toBe(1);
  });
});

describe('single findings', () => {
  /** Findings of the one image of a registry. */
  async function findings(rows: readonly Partial<DefenderFinding>[]) {
    let digest = '';
    const { azure, running } = await start({
      seed: 1,
      repositories: 1,
      images: 1,
      arm: {
        findings: () =>
          rows.map((row, number) => ({
            digest,
            finding: `CVE-2026-${number} zlib`,
            severity: 'High',
            fixable: false,
            open: true,
            at: null,
            text: 'prod.azurecr.io',
            ...row,
          })),
      },
    });
    const [repository] = azure.estate.repositories.values();
    repository?.images.clear();
    digest = `sha256:${'ab'.repeat(32)}`;
    repository?.images.set(digest, {
      digest,
      kind: 'image',
      tags: ['v1'],
      sizeBytes: 1000,
      pushedAt: 1_795_000_000,
      scan: { status: 'none' },
      archived: false,
      inUse: 0,
    });
    await running.poll();
    await running.poll();
    const counts = (await running.lines('repository_findings'))
      .filter((line) => !line.endsWith(' 0'))
      .map((line) => line.replace(/.*severity="(\w+)"} /, '$1 '));
    return { counts, running };
  }

  test('the same one in both models, or in two registries, counts once', async () => {
    const same = { finding: 'CVE-2026-1 zlib' };
    const { counts } = await findings([
      same,
      { ...same, key: 'c0b7cfc6-3172-465a-b378-53c7ff2cc0d5' },
      { finding: 'CVE-2026-1 curl' },
    ]);
    expect(counts).toEqual(['HIGH 2']);
  });

  test('one that is exempt or resolved does not count, but the image was scanned', async () => {
    const { counts, running } = await findings([{ open: false }]);
    expect(counts).toEqual([]);
    expect(await running.lines('repository_image_scans')).toContain(
      'repository_image_scans{repository="checkout/api",status="complete"} 1',
    );
    expect(await running.lines('repository_vulnerable_images')).toContain(
      'repository_vulnerable_images{repository="checkout/api",severity="HIGH"} 0',
    );
  });

  test('every severity that Defender knows, and one that it does not know yet, of which is warned once', async () => {
    const { counts, running } = await findings(
      ['Critical', 'high', 'MEDIUM', 'Low', 'Informational', 'Unknown', '', 'Apocalyptic'].map(
        (severity) => ({
          severity,
        }),
      ),
    );
    expect(counts).toEqual(['CRITICAL 1', 'HIGH 1', 'MEDIUM 1', 'LOW 1', 'NEGLIGIBLE 1', 'UNKNOWN 3']);
    expect(told(running, 'Apocalyptic').length).toBe(1);
  });

  test('the time of the scan, where Defender tells it', async () => {
    const { running } = await findings([{ at: '2026-11-20T10:00:00.5Z' }]);
    expect(await running.lines('image_scanned_timestamp_seconds')).toEqual([
      `image_scanned_timestamp_seconds{repository="checkout/api",tag="v1",digest="sha256:${'ab'.repeat(32)}"} 1795168800`,
    ]);
  });
});

test('Resource Graph says in a header of its own how long to wait', async () => {
  const { azure, running } = await start({ seed: 7 }, { http: { timeout: '2s' } });
  azure.arm.faults.push({ fault: { type: 'throttle' }, operation: 'resource_graph', times: 1 });
  const began = performance.now();
  await running.poll();
  expect(performance.now() - began).toBeGreaterThan(1000);
  expect(await down(running)).toEqual([]);
  const header = (value: string) => (name: string) =>
    name === 'x-ms-user-quota-resets-after' ? value : undefined;
  expect(judge({ status: 429, header: header('00:01:05') })).toEqual({
    reason: 'throttled',
    retryAfterMs: 65_000,
  });
  expect(judge({ status: 429, header: () => undefined })).toBeUndefined();
  expect(judge({ status: 200, header: header('00:00:05') })).toBeUndefined();
});

test('a name in a query cannot end it', () => {
  const query = findingsQuery({ names: ["x' or true //"], assessmentKeys: [], after: undefined });
  expect(query).toContain("contains 'x\\' or true //'");
});
