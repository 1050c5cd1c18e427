import pMap from 'p-map';
import type { Attempts } from '../../failing.ts';
import type { ManifestRecord } from '../../images/manifest.ts';
import type { Report } from '../../images/report.ts';
import type { CollectContext } from '../../provider.ts';
import type { Digests } from './digests.ts';
import type { Referrers } from './referrers.ts';

interface Scope {
  readonly context: Pick<CollectContext, 'concurrency'>;
  readonly digests: Digests;
  readonly attempts: Attempts;
  readonly referrers: Pick<Referrers, 'watch'>;
  readonly repository: string;
}

/** The newest of the reports that are attached to one manifest; `unread` where one of them could not be read. */
async function newestReport(
  { digests, attempts, repository }: Scope,
  records: Iterable<ManifestRecord>,
): Promise<Report | 'unread' | undefined> {
  let newest: Report | undefined;
  for (const record of records) {
    for (const { digest, form } of record.reports ?? []) {
      const read = await digests.report(attempts, repository, digest, form);
      // Not even an older report that could be read: it would pass for the newest.
      if (!('value' in read) || read.value === 'odd') return 'unread';
      if (!read.value) continue;
      const scannedAt = read.value.scannedAt ?? record.annotatedAt;
      if (newest && (scannedAt ?? 0) < (newest.scannedAt ?? 0)) continue;
      newest = { ...read.value, scannedAt };
    }
  }
  return newest;
}

/** Reports by the digest of what they are about. */
export interface Reports {
  of(digest: string): Report | undefined;
  /** Whether all of them could be read. */
  readonly complete: boolean;
}

/**
 * The newest report of each manifest that something is attached to.
 * @param failed manifests of which not all that is attached could be read: what was not may be the newest report
 */
export async function readReports(
  scope: Scope,
  attachedTo: ReadonlyMap<string, ReadonlyMap<string, ManifestRecord>>,
  failed: ReadonlySet<string>,
): Promise<Reports> {
  const reports = new Map<string, Report>();
  let complete = failed.size === 0;
  await pMap(
    attachedTo,
    async ([subject, records]) => {
      if (failed.has(subject)) return;
      const report = await newestReport(scope, records.values());
      if (report === 'unread') {
        complete = false;
        scope.referrers.watch(scope.repository, subject);
      } else if (report) reports.set(subject, report);
    },
    { concurrency: scope.context.concurrency },
  );
  return { of: (digest) => reports.get(digest), complete };
}
