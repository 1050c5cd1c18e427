import pMap from 'p-map';
import { CollectError } from '../../errors.ts';
import type { Image, Kind } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution } from './client.ts';
import type { Digests } from './digests.ts';
import { type ManifestRecord, sizeOf } from './manifest.ts';
import type { Report } from './reports.ts';
import type { TagResolver } from './tags.ts';

const day = 86_400;

/** A tag that says what something is attached to, and is no version of an image. */
export interface AttachedTag {
  readonly tag: string;
  readonly subject: string;
  /** From cosign's suffix; absent for the referrers tag schema, whose tag names an index of referrers. */
  readonly kind?: Kind;
}

const suffixes: Readonly<Record<string, Kind>> = { sig: 'signature', att: 'attestation', sbom: 'sbom' };

/**
 * Parts the tags of images from those that attach something.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema and
 * https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
 */
export function splitTags(tags: readonly string[]): { imageTags: string[]; attachedTags: AttachedTag[] } {
  const imageTags: string[] = [];
  const attachedTags: AttachedTag[] = [];
  for (const tag of tags) {
    const [, hex, suffix] = /^sha256-([0-9a-f]{64})(?:\.(sig|att|sbom))?$/.exec(tag) ?? [];
    const kind = suffixes[suffix ?? ''];
    if (hex === undefined) imageTags.push(tag);
    else attachedTags.push({ tag, subject: `sha256:${hex}`, ...(kind && { kind }) });
  }
  return { imageTags, attachedTags };
}

/** An image that things may be attached to. */
export interface Subject {
  readonly digest: string;
  /** One of the bounded set: asked about in every cycle. */
  readonly bounded: boolean;
}

/** What is attached to the images of one repository. */
export interface Attached {
  readonly artifacts: readonly Image[];
  /** Whether all that is attached to any of the images was found. */
  readonly complete: boolean;
  /** Whether an image is signed, and what a report attached to it found. */
  factsOf(digest: string): Partial<Image>;
  /** The latter only. */
  findingsOf(digest: string): Partial<Image>;
}

export interface Attachments {
  read(
    repository: string,
    subjects: readonly Subject[],
    attachedTags: readonly AttachedTag[],
  ): Promise<Attached>;
}

interface Tools {
  readonly client: Distribution;
  readonly context: CollectContext;
  readonly digests: Digests;
  readonly tags: TagResolver;
  /** Images outside the bounded set are asked about once in so many seconds. */
  readonly referrersSeconds: number;
}

/** Signatures, SBOMs and reports: from the referrers API, the referrers tag schema and cosign's tags. */
export function createAttachments({ client, context, digests, tags, referrersSeconds }: Tools): Attachments {
  const { memory } = context;
  const absent = memory.get('no-referrers-api');
  let hasApi = !absent || context.now() - absent.storedAt >= day;
  const present = memory.get('referrers-api');
  let answered = false;

  /** Digests of what the API says is attached; none where the registry has no such API. */
  async function ask(repository: string, subject: Subject): Promise<readonly string[]> {
    const key = `referrers ${JSON.stringify([repository, subject.digest])}`;
    const known = memory.get<string[]>(key);
    if (known && !subject.bounded && context.now() - known.storedAt < referrersSeconds) return known.value;
    if (!hasApi) return [];
    const found = await client.referrers(repository, subject.digest);
    if (!found) {
      // A gateway's 404 is no word of the registry's: else all images would lose their signatures for a day.
      if (answered || (present && context.now() - present.storedAt < day))
        throw new CollectError(
          'not_found',
          `the referrers API answered 404 for ${subject.digest} of ${repository}, though the registry has it`,
        );
      hasApi = false;
      memory.set('no-referrers-api', true);
      return [];
    }
    if (!answered) memory.set('referrers-api', true);
    answered = true;
    const list = [...new Set(found.map((descriptor) => descriptor.digest))];
    memory.set(key, list);
    return list;
  }

  return {
    async read(repository, subjects, attachedTags) {
      const artifacts = new Map<string, Image>();
      const attachedTo = new Map<string, Map<string, ManifestRecord>>();
      const failed = new Set<string>();
      const concurrency = context.concurrency;

      const attach = async (subject: string, digest: string, kind?: Kind): Promise<void> => {
        const found = await digests.manifest(repository, digest, true);
        if (!found) return;
        const record = kind ? { ...found, kind } : found;
        const sizeBytes = sizeOf(record);
        artifacts.set(digest, { digest, kind: record.kind, ...(sizeBytes !== undefined && { sizeBytes }) });
        const records = attachedTo.get(subject) ?? new Map<string, ManifestRecord>();
        attachedTo.set(subject, records.set(digest, record));
      };
      const orDegraded = async (subject: string, work: () => Promise<void>): Promise<void> => {
        try {
          await work();
        } catch (error) {
          if (context.signal.aborted) throw error;
          failed.add(subject);
          digests.incomplete();
          context.degraded('signatures', error);
        }
      };

      await pMap(
        attachedTags,
        ({ tag, subject, kind }) =>
          orDegraded(subject, async () => {
            const digest = await tags.resolve(repository, tag);
            if (digest === undefined) return;
            if (kind) return attach(subject, digest, kind);
            const index = await digests.manifest(repository, digest, false);
            for (const child of index?.children ?? []) await attach(subject, child.digest);
          }),
        { concurrency },
      );
      await pMap(
        subjects,
        (subject) =>
          orDegraded(subject.digest, async () => {
            for (const digest of await ask(repository, subject)) await attach(subject.digest, digest);
          }),
        { concurrency },
      );

      const reports = new Map<string, Report>();
      const readReports = async ([subject, records]: [string, Map<string, ManifestRecord>]) => {
        let newest = Number.NEGATIVE_INFINITY;
        for (const record of records.values()) {
          for (const { digest, form } of record.reports ?? []) {
            const report = await digests.report(repository, digest, form);
            const scannedAt = report.scannedAt ?? record.annotatedAt;
            const age = scannedAt ?? 0;
            if (age < newest) continue;
            newest = age;
            reports.set(subject, { ...report, ...(scannedAt !== undefined && { scannedAt }) });
          }
        }
      };
      await pMap(
        attachedTo,
        async (entry) => {
          // What was not found may be the newest report.
          if (failed.has(entry[0])) return;
          try {
            await readReports(entry);
          } catch (error) {
            if (context.signal.aborted) throw error;
            // Not even an older report that could be read: it would pass for the newest.
            reports.delete(entry[0]);
            context.degraded('findings', error);
          }
        },
        { concurrency },
      );

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
}
