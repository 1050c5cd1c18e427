import pMap from 'p-map';
import { CollectError } from '../../errors.ts';
import type { Attempts, Thing, Unread } from '../../failing.ts';
import type { AttachedTag } from '../../images/attached-tags.ts';
import { type ManifestRecord, sizeOf } from '../../images/manifest.ts';
import type { Report } from '../../images/report.ts';
import type { Image, Kind } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Digests } from './digests.ts';
import type { Referrers, Target, TargetReferrers } from './referrers.ts';

/** An image that things may be attached to, and what it consists of. */
export interface Subject {
  readonly digest: string;
  /** One of the bounded set: asked about in every cycle. */
  readonly bounded: boolean;
  /** Digests of its platforms and attestations, which may be signed one by one. */
  readonly parts: readonly string[];
}

/** An attaching tag and the manifest that it names; undefined where that could not be read. */
export interface AttachedManifest extends AttachedTag {
  readonly manifest: { readonly digest: string; readonly record: ManifestRecord } | undefined;
}

/** What is attached to the images of one repository. */
export interface Attached {
  readonly artifacts: readonly Image[];
  /** Whether all that is attached to any of the images was found. */
  readonly complete: boolean;
  /** Whether all reports could be read. */
  readonly findingsComplete: boolean;
  /** Whether an image is signed, and the findings of a report that is attached to it. */
  factsOf(digest: string): Partial<Image>;
  /** The findings of a report that is attached to a manifest. */
  findingsOf(digest: string): Partial<Image>;
}

export interface AttachmentsScope {
  readonly context: CollectContext;
  readonly digests: Digests;
  readonly referrers: Referrers;
  readonly repository: string;
  readonly attempts: Attempts;
}

/** Signatures of signatures of SBOMs: deeper than this nobody signs. */
const deepest = 3;
/** So many failures and not a single answer: nothing more is asked of the referrers API in this poll. */
const failuresAtMost = 10;

/** Collects what is attached in one repository. */
class Attachments {
  readonly #scope: AttachmentsScope;
  readonly artifacts = new Map<string, Image>();
  /** By the digest that it is attached to, by its own digest. */
  readonly #records = new Map<string, Map<string, ManifestRecord>>();
  /** Digests of which not all that is attached could be read. */
  readonly failed = new Set<string>();
  readonly #reports = new Map<string, Report>();
  reportsComplete = true;

  constructor(scope: AttachmentsScope) {
    this.#scope = scope;
  }

  recordsOf(subject: string): readonly ManifestRecord[] {
    return [...(this.#records.get(subject)?.values() ?? [])];
  }

  reportOf(subject: string): Report | undefined {
    return this.#reports.get(subject);
  }

  #add(subject: string, digest: string, record: ManifestRecord): void {
    this.artifacts.set(digest, { digest, kind: record.kind, sizeBytes: sizeOf(record) });
    const records = this.#records.get(subject) ?? new Map<string, ManifestRecord>();
    this.#records.set(subject, records.set(digest, record));
  }

  /** @returns the kind of what is attached, where it is there */
  async attach(subject: string, digest: string): Promise<Kind | undefined> {
    const { digests, attempts, referrers, repository } = this.#scope;
    const read = await digests.manifest(attempts, { repository, digest, listed: true });
    if (!('value' in read)) {
      this.failed.add(subject);
      return undefined;
    }
    const record = read.value;
    if (record === 'gone') return undefined;
    this.#add(subject, digest, record);
    if (record.odd !== undefined) referrers.watch(repository, subject);
    // What cannot be understood at all may be a signature.
    if (record.odd !== undefined && record.kind === 'other') this.failed.add(subject);
    return record.kind;
  }

  async followTags(tags: readonly AttachedManifest[]): Promise<void> {
    const follow = async ({ subject, kind, manifest }: AttachedManifest) => {
      // A signature that cannot be read is no reason to call its image unsigned.
      if (!manifest) this.failed.add(subject);
      else if (kind) this.#add(subject, manifest.digest, { ...manifest.record, kind });
      else for (const child of manifest.record.children ?? []) await this.attach(subject, child.digest);
    };
    await pMap(tags, follow, { concurrency: this.#scope.context.concurrency });
  }

  /** Reads the newest report of each subject. */
  async readReports(): Promise<void> {
    const { context, referrers, repository } = this.#scope;
    if (this.failed.size > 0) this.reportsComplete = false;
    // Of a subject of which not all is known, what was not read may be the newest report.
    const subjects = [...this.#records.keys()].filter((subject) => !this.failed.has(subject));
    const read = async (subject: string) => {
      const report = await this.#newestReport(subject);
      if (report === 'unread') {
        this.reportsComplete = false;
        referrers.watch(repository, subject);
      } else if (report) this.#reports.set(subject, report);
    };
    await pMap(subjects, read, { concurrency: context.concurrency });
  }

  /** `unread` where one of the reports could not be read: an older one would pass for the newest. */
  async #newestReport(subject: string): Promise<Report | 'unread' | undefined> {
    const { digests, attempts, repository } = this.#scope;
    const records = this.recordsOf(subject);
    if (records.some(({ reportsUnknown }) => reportsUnknown)) return 'unread';
    let newest: Report | undefined;
    const named = records.flatMap(({ reports = [], annotatedAt }) =>
      reports.map((report) => ({ ...report, annotatedAt })),
    );
    for (const { digest, form, annotatedAt } of named) {
      const read = await digests.report(attempts, repository, digest, form);
      if (!('value' in read) || read.value === 'odd') return 'unread';
      const report = read.value && { ...read.value, scannedAt: read.value.scannedAt ?? annotatedAt };
      if (report && (report.scannedAt ?? 0) >= (newest?.scannedAt ?? 0)) newest = report;
    }
    return newest;
  }
}

/** Asks the referrers API about many targets of one repository, of which each may fail. */
class Asking {
  readonly #scope: AttachmentsScope;
  readonly #failures: { readonly thing: Thing; readonly unread: Unread }[] = [];
  readonly #left: string[] = [];
  #answered = 0;
  #refused = 0;

  constructor(scope: AttachmentsScope) {
    this.#scope = scope;
  }

  /** Undefined where the API does not tell. */
  async ask(target: Target): Promise<TargetReferrers | undefined> {
    if (this.#answered === 0 && this.#failures.length >= failuresAtMost) {
      this.#left.push(target.digest);
      return undefined;
    }
    const effect = 'whether it is signed is unknown, and what counts signatures and reports';
    const thing = { kind: 'referrers', name: target.digest, effect, quiet: true };
    const answer = await this.#scope.attempts.attempt(thing, () => this.#read(target));
    if ('value' in answer) {
      this.#answered += 1;
      return answer.value;
    }
    this.#failures.push({ thing, unread: answer });
    return undefined;
  }

  async #read(target: Target): Promise<TargetReferrers> {
    const { referrers, repository } = this.#scope;
    const answer = await referrers.ask(repository, target);
    if (answer !== 'refused') return answer;
    this.#refused += 1;
    // A refusal may be a gateway's: else all images would lose their signatures for a day.
    throw new CollectError(
      'invalid_response',
      `the referrers API does not answer for ${target.digest} of ${repository}, and does for others`,
    );
  }

  /** Whether all that was asked was refused, in a repository that is not known to offer the API. */
  refusesAll(): boolean {
    const { referrers, repository } = this.#scope;
    const all = this.#failures.length;
    return (
      this.#refused > 0 && this.#refused === all && this.#answered === 0 && !referrers.offered(repository)
    );
  }

  /**
   * Reports what failed: anew, or for most of the targets, is a failing capability; one that fails for good is a notice.
   * @returns the digests for which the API did not tell
   */
  end(): readonly string[] {
    const { context, attempts } = this.#scope;
    const news = this.#failures.find(({ unread }) => unread.fresh) ?? this.#failures[0];
    if (!news) return this.#left;
    if (this.#failures.length > this.#answered || news.unread.fresh)
      context.degraded('signatures', news.unread.error);
    else for (const { thing, unread } of this.#failures) attempts.tell(thing, unread.error);
    return [...this.#left, ...this.#failures.map(({ thing }) => thing.name)];
  }
}

/** A target, and the parts that may be signed with it. */
type TargetWithParts = Target & { readonly parts?: readonly string[] };

/** @returns what may be signed or attached to in its turn */
async function follow(
  { context, repository }: AttachmentsScope,
  attachments: Attachments,
  asking: Asking,
  target: TargetWithParts,
): Promise<Target[]> {
  const answer = await asking.ask(target);
  if (answer && !answer.complete) {
    attachments.failed.add(target.digest);
    context.tell(
      `odd referrers ${repository} ${target.digest}`,
      { repository, digest: target.digest },
      'the referrers API lists what has no digest: whether the image is signed may be unknown',
    );
  }
  // An image and its parts are mostly signed together: where one is new, the others are asked about too.
  const everyPoll = answer?.changed ?? false;
  const next = (target.parts ?? []).map((digest) => ({ digest, everyPoll }));
  for (const digest of answer?.digests ?? []) {
    const kind = await attachments.attach(target.digest, digest);
    if (kind !== undefined && kind !== 'signature') next.push({ digest, everyPoll });
  }
  return next;
}

/** Asks the referrers API what is attached to each target, and then to that: SBOMs and attestations are signed too. */
async function followReferrers(
  scope: AttachmentsScope,
  attachments: Attachments,
  targets: readonly TargetWithParts[],
): Promise<void> {
  const { context, referrers, repository } = scope;
  if (referrers.offered(repository) === false) return;
  const asking = new Asking(scope);
  const asked = new Set<string>();
  let level = targets;
  for (let depth = 1; level.length > 0 && depth <= deepest; depth += 1) {
    const next: Target[] = [];
    const followOnce = async (target: TargetWithParts) => {
      if (asked.has(target.digest)) return;
      asked.add(target.digest);
      next.push(...(await follow(scope, attachments, asking, target)));
    };
    // Two alone first: they show whether the repository offers this at all. A gateway may refuse one.
    const alone = depth === 1 ? 2 : 0;
    for (const target of level.slice(0, alone)) await followOnce(target);
    if (depth === 1 && asking.refusesAll()) return referrers.setAbsent(repository);
    await pMap(level.slice(alone), followOnce, { concurrency: context.concurrency });
    level = next;
  }
  for (const digest of asking.end()) attachments.failed.add(digest);
}

/** Reads signatures, SBOMs and reports: from the referrers API, the referrers tag schema and cosign's tags. */
export async function readAttachments(
  scope: AttachmentsScope,
  subjects: readonly Subject[],
  tags: readonly AttachedManifest[],
): Promise<Attached> {
  const attachments = new Attachments(scope);
  await attachments.followTags(tags);
  const targets = subjects.map(({ digest, bounded, parts }) => ({ digest, everyPoll: bounded, parts }));
  await followReferrers(scope, attachments, targets);
  if (attachments.failed.size > 0) scope.digests.incomplete();
  await attachments.readReports();

  const findingsOf = (digest: string): Partial<Image> => {
    const report = attachments.reportOf(digest);
    return report ? { ...report, scanStatus: 'complete' } : {};
  };
  return {
    artifacts: [...attachments.artifacts.values()],
    complete: attachments.failed.size === 0,
    findingsComplete: attachments.reportsComplete,
    findingsOf,
    factsOf(digest) {
      const signed = attachments.recordsOf(digest).some(({ kind }) => kind === 'signature');
      const isKnown = signed || !attachments.failed.has(digest);
      return { ...findingsOf(digest), signed: isKnown ? signed : undefined };
    },
  };
}
