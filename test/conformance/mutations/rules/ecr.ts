import type { MutationOptions } from '../suite.ts';

export const rules: MutationOptions = {
  optional: [
    // A severity without findings is left out of the counts.
    'POST / DescribeImages | *.findingSeverityCounts.*',
    'POST / DescribeImageScanFindings | *.findingSeverityCounts.*',
    // An image that was not scanned yet has no time of a scan.
    'POST /coverage/list | coveredResources[].lastScannedAt',
    // The last page has no token; no other page can be told from it.
    '* | nextToken',
    '* | NextToken',
  ],
  // One list holds the rows of all repositories: where a page of it cannot be read, or a row does not say what it is
  // about, nobody knows whose rows are missing.
  everywhere: [
    'POST / DescribeRepositories | repositories | *',
    'POST /coverage/list | coveredResources | *',
    'POST /coverage/list | * | 1 MB',
    'POST /findings/aggregation/list | responses | *',
    'POST /findings/aggregation/list | * | 1 MB',
  ],
};
