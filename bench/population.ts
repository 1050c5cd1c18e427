import { createHash } from 'node:crypto';
import type { RegistryView, RepositoryView } from '../src/metrics.ts';

/** The same made-up registry for all who are compared: 17 series per repository. */
export const seriesPerRepository = 17;

export const registryView: RegistryView = {
  registry: 'production',
  provider: 'oci',
  identity: { host: 'registry.example.com' },
  up: true,
  lastSuccessAt: 1_795_000_000,
  lastAttemptAt: 1_795_000_000,
  pollDurationSeconds: 12.5,
  polls: 100,
  failures: new Map(),
  capabilities: new Map(),
  repositoryCount: 1,
  seriesDropped: new Map(),
};

/** The view of one repository; another `version` gives other values. */
export function repositoryView(number: number, version = 0): RepositoryView {
  const repository = `team-${number % 97}/service-${number}/backend`;
  const value = (number * 2_654_435_761 + version * 97) % 1_000_003;
  return {
    totals: {
      repository,
      tagged: value % 50,
      untagged: value % 7,
      tags: value % 60,
      artifacts: { signature: value % 5 },
      sizeBytes: value * 4096 + 123,
      lastPushAt: 1_794_000_000 + value,
      findings: {
        counts: {
          CRITICAL: value % 3,
          HIGH: value % 11,
          MEDIUM: value % 40,
          LOW: value % 80,
          NEGLIGIBLE: value % 9,
          UNKNOWN: 0,
        },
      },
      pulls: value,
      signedImages: value % 5,
      practices: {},
      images: [
        {
          tag: `v1.${value % 100}.0`,
          digest: `sha256:${createHash('sha256').update(`${number}/${version}`).digest('hex')}`,
          sizeBytes: value * 512 + 7,
          pushedAt: 1_794_000_000 + value,
          signed: value % 2 === 0,
        },
      ],
    },
  };
}

/** So many series' worth of repositories, one by one. */
export function* repositoryViews(series: number): Generator<readonly [string, RepositoryView]> {
  for (let number = 0; number * seriesPerRepository < series; number += 1) {
    const view = repositoryView(number);
    yield [view.totals?.repository ?? '', view];
  }
}
