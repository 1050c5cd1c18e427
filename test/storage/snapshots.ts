import type { RegistrySnapshot } from '../../src/model.ts';
import { packTotals } from '../../src/totals.ts';
import { totalsOf } from '../support/app.ts';

/** A snapshot of some hundred repositories, as of a time in Unix seconds. */
export const snapshotOf = (observedAt: number, repositories = 300): RegistrySnapshot => ({
  identity: { host: 'registry.example.com' },
  facts: { storageBytes: observedAt },
  repositoryCount: repositories,
  observedAt,
  repositories: new Map(
    Array.from({ length: repositories }, (_, number) => {
      const name = `team/app-${number}`;
      return [name, { totals: packTotals(totalsOf(name, { tags: observedAt })), observedAt }];
    }),
  ),
});
