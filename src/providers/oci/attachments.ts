import pMap from 'p-map';
import type { AttachedTag } from '../../images/attached-tags.ts';
import { type ManifestRecord, sizeOf } from '../../images/manifest.ts';
import type { Image, Kind } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Digests } from './digests.ts';
import type { Attempts, Thing } from './failing.ts';
import type { Referrers, Target } from './referrers.ts';
import type { Report } from './reports.ts';

/** An image that things may be attached to, and what it consists of. */
export interface Subject {
  readonly digest: string;
  /** One of the bounded set: asked about in every cycle. */
  readonly bounded: boolean;
  /** Digests of its platforms and attestations, which may be signed one by one. */
  readonly parts: readonly string[];
}

/** What is attached to the images of one repository. */
export interface Attached {
  readonly artifacts: readonly Image[];
  /** Whether all that is attached to any of the images was found. */
  readonly complete: boolean;
  /** Whether an image is signed, and what a report attached to it found. */
  factsOf(digest: string): Partial<Image>;
  /** What a report attached to a manifest found. */
  findingsOf(digest: string): Partial<Image>;
}

export interface Attachments {
  read(
    repository: string,
    attempts: Attempts,
    subjects: readonly Subject[],
    attachedTags: readonly (AttachedTag & TaggedRecord)[],
  ): Promise<Attached>;
}

/** What an attaching tag names; nothing where that could not be read. */
export interface TaggedRecord {
  readonly found?: { readonly digest: string; readonly record: ManifestRecord };
}

interface Tools {
  readonly context: CollectContext;
  readonly digests: Digests;
  readonly referrers: Referrers;
}

/** Signatures of signatures of SBOMs: deeper than this nobody signs. */
const deepest = 3;

/** Signatures, SBOMs and reports: from the referrers API, the referrers tag schema and cosign's tags. */
export function createAttachments({ context, digests, referrers }: Tools): Attachments {
  const { concurrency } = context;

  return {
    async read(repository, attempts, subjects, attachedTags) {
      const artifacts = new Map<string, Image>();
      const attachedTo = new Map<string, Map<string, ManifestRecord>>();
      const failed = new Set<string>();

      const add = (subject: string, digest: string, found: ManifestRecord, kind?: Kind): ManifestRecord => {
        const record = kind ? { ...found, kind } : found;
        const sizeBytes = sizeOf(record);
        artifacts.set(digest, { digest, kind: record.kind, ...(sizeBytes !== undefined && { sizeBytes }) });
        const records = attachedTo.get(subject) ?? new Map<string, ManifestRecord>();
        attachedTo.set(subject, records.set(digest, record));
        return record;
      };
      const attach = async (subject: string, digest: string): Promise<ManifestRecord | undefined> => {
        const read = await digests.manifest(attempts, { repository, digest, listed: true });
        if (!('value' in read)) failed.add(subject);
        else if (read.value !== 'gone') return add(subject, digest, read.value);
        return undefined;
      };

      await pMap(
        attachedTags,
        async ({ subject, kind, found }) => {
          // A signature that cannot be read is no reason to call its image unsigned.
          if (!found) failed.add(subject);
          else if (kind) add(subject, found.digest, found.record, kind);
          else for (const child of found.record.children ?? []) await attach(subject, child.digest);
        },
        { concurrency },
      );

      let asked = 0;
      let unanswered = 0;
      const ask = async (target: Target) => {
        asked += 1;
        const thing: Thing = {
          kind: 'referrers',
          name: target.digest,
          effect: 'whether it is signed is unknown, and what counts signatures and reports',
        };
        const answer = await attempts.attempt(thing, () => referrers.ask(repository, target));
        if ('value' in answer) return answer.value;
        failed.add(target.digest);
        unanswered += 1;
        if (answer.fresh) context.degraded('signatures', answer.error);
        else if (unanswered * 2 > asked) lasting = answer.error;
        return undefined;
      };
      let lasting: unknown;

      const asking = new Set<string>();
      /** Asks what is attached to each target, and then to that: SBOMs and attestations are signed too. */
      const follow = async (targets: readonly (Target & { parts?: readonly string[] })[], depth: number) => {
        const next: Target[] = [];
        const one = async (target: (typeof targets)[number]) => {
          if (asking.has(target.digest)) return;
          asking.add(target.digest);
          const answer = await ask(target);
          if (!answer) return;
          // Whoever signs an image with its parts does both at once.
          const everyPoll = answer.changed;
          for (const digest of target.parts ?? []) next.push({ digest, everyPoll });
          for (const digest of answer.digests) {
            const record = await attach(target.digest, digest);
            if (record && record.kind !== 'signature') next.push({ digest, everyPoll });
          }
        };
        // One alone first: it shows whether the repository offers this at all.
        const [first, ...rest] = targets;
        if (first) await one(first);
        await pMap(rest, one, { concurrency });
        if (next.length > 0 && depth < deepest && !referrers.isAbsent(repository))
          await follow(next, depth + 1);
      };
      await follow(
        subjects.map(({ digest, bounded, parts }) => ({ digest, everyPoll: bounded, parts })),
        1,
      );
      if (lasting !== undefined) context.degraded('signatures', lasting);
      if (failed.size > 0) digests.incomplete();

      const reports = await readReports(repository, attempts, attachedTo, failed);
      const findingsOf = (digest: string): Partial<Image> => {
        const report = reports.get(digest);
        return report ? { ...report, scanStatus: 'complete' } : {};
      };
      return {
        artifacts: [...artifacts.values()],
        complete: failed.size === 0,
        findingsOf,
        factsOf(digest) {
          const records = [...(attachedTo.get(digest)?.values() ?? [])];
          const signed = records.some((record) => record.kind === 'signature');
          const known = signed || !failed.has(digest);
          return { ...findingsOf(digest), ...(known && { signed }) };
        },
      };
    },
  };

  /** The newest report of each subject. */
  async function readReports(
    repository: string,
    attempts: Attempts,
    attachedTo: ReadonlyMap<string, ReadonlyMap<string, ManifestRecord>>,
    failed: ReadonlySet<string>,
  ): Promise<Map<string, Report>> {
    const reports = new Map<string, Report>();
    await pMap(
      attachedTo,
      async ([subject, records]) => {
        // What was not found may be the newest report.
        if (failed.has(subject)) return;
        let newest: (Report & { readonly age: number }) | undefined;
        for (const record of records.values()) {
          for (const { digest, form } of record.reports ?? []) {
            const read = await digests.report(attempts, repository, digest, form);
            // Not even an older report that could be read: it would pass for the newest.
            if (!('value' in read) || read.value === 'odd') return;
            if (!read.value) continue;
            const scannedAt = read.value.scannedAt ?? record.annotatedAt;
            const age = scannedAt ?? 0;
            if (!newest || age >= newest.age)
              newest = { ...read.value, age, ...(scannedAt !== undefined && { scannedAt }) };
          }
        }
        if (!newest) return;
        const { age: _, ...report } = newest;
        reports.set(subject, report);
      },
      { concurrency },
    );
    return reports;
  }
}
