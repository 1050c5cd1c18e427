import pMap from 'p-map';
import type { Attempts } from '../../failing.ts';
import type { AttachedTag } from '../../images/attached-tags.ts';
import { type ManifestRecord, sizeOf } from '../../images/manifest.ts';
import type { Image, Kind } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { createAsking } from './asking.ts';
import { readReports } from './attached-reports.ts';
import type { Digests } from './digests.ts';
import type { Referrers, Target } from './referrers.ts';

/** An image that things may be attached to, and what it consists of. */
export interface Subject {
  readonly digest: string;
  /** One of the bounded set: asked about in every cycle. */
  readonly bounded: boolean;
  /** Digests of its platforms and attestations, which may be signed one by one. */
  readonly parts: readonly string[];
}

/** What an attaching tag names; nothing where that could not be read. */
export interface TaggedRecord {
  readonly found?: { readonly digest: string; readonly record: ManifestRecord };
}

/** What is attached to the images of one repository. */
export interface Attached {
  readonly artifacts: readonly Image[];
  /** Whether all that is attached to any of the images was found. */
  readonly complete: boolean;
  /** Whether all reports could be read. */
  readonly findingsComplete: boolean;
  /** Whether an image is signed, and what a report attached to it found. */
  factsOf(digest: string): Partial<Image>;
  /** What a report attached to a manifest found. */
  findingsOf(digest: string): Partial<Image>;
}

/** Reads what is attached in one repository. */
export interface AttachmentsScope {
  readonly context: CollectContext;
  readonly digests: Digests;
  readonly referrers: Referrers;
  readonly repository: string;
  readonly attempts: Attempts;
}

/** What was found so far. */
interface Found {
  readonly artifacts: Map<string, Image>;
  /** By the digest that it is attached to, by its own digest. */
  readonly attachedTo: Map<string, Map<string, ManifestRecord>>;
  /** Digests of which not all that is attached could be read. */
  readonly failed: Set<string>;
}

/** Signatures of signatures of SBOMs: deeper than this nobody signs. */
const deepest = 3;

function add(found: Found, subject: string, digest: string, record: ManifestRecord): void {
  const sizeBytes = sizeOf(record);
  found.artifacts.set(digest, {
    digest,
    kind: record.kind,
    sizeBytes,
  });
  const records = found.attachedTo.get(subject) ?? new Map<string, ManifestRecord>();
  found.attachedTo.set(subject, records.set(digest, record));
}

/** @returns the kind of what is attached, where it is there */
async function attach(
  { digests, attempts, referrers, repository }: AttachmentsScope,
  found: Found,
  subject: string,
  digest: string,
): Promise<Kind | undefined> {
  const read = await digests.manifest(attempts, { repository, digest, listed: true });
  if (!('value' in read)) found.failed.add(subject);
  else if (read.value !== 'gone') {
    add(found, subject, digest, read.value);
    if (read.value.odd !== undefined) {
      referrers.watch(repository, subject);
      // What cannot be understood at all may be a signature.
      if (read.value.kind === 'other') found.failed.add(subject);
    }
    return read.value.kind;
  }
  return undefined;
}

function incomplete({ context, repository }: AttachmentsScope, found: Found, subject: string): void {
  found.failed.add(subject);
  context.tell(
    `odd referrers ${repository} ${subject}`,
    { repository, digest: subject },
    'the referrers API lists what has no digest: whether the image is signed may be unknown',
  );
}

async function followTags(
  scope: AttachmentsScope,
  found: Found,
  tags: readonly (AttachedTag & TaggedRecord)[],
): Promise<void> {
  await pMap(
    tags,
    async ({ subject, kind, found: tagged }) => {
      // A signature that cannot be read is no reason to call its image unsigned.
      if (!tagged) found.failed.add(subject);
      else if (kind) add(found, subject, tagged.digest, { ...tagged.record, kind });
      else
        for (const child of tagged.record.children ?? []) await attach(scope, found, subject, child.digest);
    },
    { concurrency: scope.context.concurrency },
  );
}

/** Asks the referrers API what is attached to each target, and then to that: SBOMs and attestations are signed too. */
async function followReferrers(
  scope: AttachmentsScope,
  found: Found,
  targets: readonly (Target & { readonly parts?: readonly string[] })[],
): Promise<void> {
  const { context, referrers, repository } = scope;
  if (referrers.offered(repository) === false) return;
  const asking = createAsking(scope);
  const asked = new Set<string>();
  let level = targets;
  for (let depth = 1; level.length > 0 && depth <= deepest; depth += 1) {
    const next: Target[] = [];
    const follow = async (target: (typeof targets)[number]) => {
      if (asked.has(target.digest)) return;
      asked.add(target.digest);
      const answer = await asking.ask(target);
      if (answer && !answer.complete) incomplete(scope, found, target.digest);
      // Whoever signs an image with its parts does both at once.
      const everyPoll = answer?.changed ?? false;
      for (const digest of target.parts ?? []) next.push({ digest, everyPoll });
      for (const digest of answer?.digests ?? []) {
        const kind = await attach(scope, found, target.digest, digest);
        if (kind !== undefined && kind !== 'signature') next.push({ digest, everyPoll });
      }
    };
    // Two alone first: they show whether the repository offers this at all. A gateway may refuse one.
    const alone = depth === 1 ? 2 : 0;
    for (const target of level.slice(0, alone)) await follow(target);
    if (depth === 1 && asking.refusesAll()) return referrers.setAbsent(repository);
    await pMap(level.slice(alone), follow, { concurrency: context.concurrency });
    level = next;
  }
  for (const digest of asking.end()) found.failed.add(digest);
}

/** Signatures, SBOMs and reports: from the referrers API, the referrers tag schema and cosign's tags. */
export async function readAttachments(
  scope: AttachmentsScope,
  subjects: readonly Subject[],
  tags: readonly (AttachedTag & TaggedRecord)[],
): Promise<Attached> {
  const found: Found = { artifacts: new Map(), attachedTo: new Map(), failed: new Set() };
  const { attachedTo, failed } = found;
  await followTags(scope, found, tags);
  await followReferrers(
    scope,
    found,
    subjects.map(({ digest, bounded, parts }) => ({ digest, everyPoll: bounded, parts })),
  );
  if (failed.size > 0) scope.digests.incomplete();

  const reports = await readReports(scope, attachedTo, failed);
  const findingsOf = (digest: string): Partial<Image> => {
    const report = reports.of(digest);
    return report ? { ...report, scanStatus: 'complete' } : {};
  };
  return {
    artifacts: [...found.artifacts.values()],
    complete: failed.size === 0,
    findingsComplete: reports.complete,
    findingsOf,
    factsOf(digest) {
      const records = [...(attachedTo.get(digest)?.values() ?? [])];
      const signed = records.some((record) => record.kind === 'signature');
      const known = signed || !failed.has(digest);
      return { ...findingsOf(digest), ...(known && { signed }) };
    },
  };
}
