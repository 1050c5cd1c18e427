import { z } from 'zod';
import { type FailureReason, failureReasons } from '../errors.ts';
import {
  type Findings,
  type ImageTotals,
  type JobQueue,
  kinds,
  type Project,
  practices,
  type Quota,
  type RegistryFacts,
  type RegistryIdentity,
  type Replication,
  type RepositoryTotals,
  scanStatuses,
  severities,
  type Task,
  taskResults,
} from '../model.ts';

/**
 * The shapes of what is saved. A checksum says that a file is as it was written; only this says that it was written by
 * a version that means the same. A field that is new in the model does not compile until it stands here as well.
 */

/** An object of the model: each of its fields has a schema, and a type that fits. */
function model<Model>(shape: { readonly [Field in keyof Required<Model>]: z.ZodType<Model[Field]> }) {
  return z.object(shape) as unknown as z.ZodType<Model>;
}

/** Of things and bytes. */
const count = z.int().min(0);
/** Unix seconds. */
const time = z.number();
const flag = z.boolean();
const name = z.string();
const severityCounts = z.partialRecord(z.enum(severities), count).readonly();

const findings = model<Findings>({
  counts: severityCounts,
  fixable: severityCounts.optional(),
  fixableTotal: count.optional(),
});

const image = model<ImageTotals>({
  tag: name,
  digest: name,
  sizeBytes: count.optional(),
  pushedAt: time.optional(),
  scannedAt: time.optional(),
  signed: flag.optional(),
  inUse: count.optional(),
  findings: findings.optional(),
});

const totals = model<RepositoryTotals>({
  repository: name,
  tagged: count.optional(),
  untagged: count.optional(),
  archived: count.optional(),
  archivedBytes: count.optional(),
  tags: count.optional(),
  artifacts: z.partialRecord(z.enum(kinds), count),
  sizeBytes: count.optional(),
  reclaimableBytes: count.optional(),
  staleImages: count.optional(),
  lastPushAt: time.optional(),
  lastPullAt: time.optional(),
  pulls: count.optional(),
  stars: count.optional(),
  findings: findings.optional(),
  vulnerableImages: severityCounts.optional(),
  scans: z.partialRecord(z.enum(scanStatuses), count).optional(),
  signedImages: count.optional(),
  practices: z.partialRecord(z.enum(practices), flag),
  images: z.array(image),
});

/** One line of a snapshot after its first. */
export const repositoryLine = z.object({ totals, observedAt: time });

const quota = model<Quota>({
  quota: name,
  used: z.number().optional(),
  limit: z.number().optional(),
  project: name.optional(),
});

const replication = model<Replication>({
  destination: name,
  up: flag.optional(),
  pendingImages: count.optional(),
  failedImages: count.optional(),
  succeededImages: count.optional(),
  stoppedImages: count.optional(),
  lastSuccessAt: time.optional(),
});

const project = model<Project>({
  project: name,
  public: flag.optional(),
  repositories: count.optional(),
  members: count.optional(),
});

const task = model<Task>({
  task: name,
  up: flag.optional(),
  lastSuccessAt: time.optional(),
  items: z.partialRecord(z.enum(taskResults), count).optional(),
});

const jobQueue = model<JobQueue>({
  queue: name,
  size: count.optional(),
  latencySeconds: z.number().optional(),
  running: count.optional(),
  paused: flag.optional(),
});

const facts = model<RegistryFacts>({
  version: name.optional(),
  settings: z.array(z.object({ setting: name, on: flag })).optional(),
  storageBytes: count.optional(),
  quotas: z.array(quota).optional(),
  pullLimit: z.number().optional(),
  pullRemaining: z.number().optional(),
  pullLimitWindowSeconds: z.number().optional(),
  pullLimitSource: name.optional(),
  credentials: z.array(z.object({ credential: name, expiresAt: time })).optional(),
  replications: z.array(replication).optional(),
  components: z.array(z.object({ component: name, up: flag })).optional(),
  projects: z.array(project).optional(),
  tasks: z.array(task).optional(),
  jobQueues: z.array(jobQueue).optional(),
  violations: z.array(z.object({ watch: name, severity: z.enum(severities), count })).optional(),
});

const identity = model<RegistryIdentity>({
  host: name.optional(),
  account: name.optional(),
  region: name.optional(),
});

/** What a file says of itself, read before anything else of it. */
export const fileHeader = z.object({ version: z.number(), target: z.string() });

/** The first line of a snapshot. */
export const snapshotHeader = z.object({
  ...fileHeader.shape,
  identity,
  facts,
  factsAt: time.optional(),
  repositoryCount: count.optional(),
  observedAt: time.optional(),
  cut: flag.optional(),
});

const isReason = (reason: string): reason is FailureReason =>
  (failureReasons as readonly string[]).includes(reason);

/** Counts by a name of their own. */
const triples = z.array(z.tuple([z.string(), z.string(), count]).readonly()).readonly();

const pushCounts = z.record(z.string(), z.object({ pushes: count, failures: z.record(z.string(), count) }));

/** The only line of a file of counters. */
export const savedCounters = z.object({
  polls: count,
  // A reason that a later version counted is none of this one.
  failures: z
    .record(z.string(), count)
    .transform((counts) => Object.fromEntries(Object.entries(counts).filter(([reason]) => isReason(reason)))),
  pushes: pushCounts,
  /** Of repositories that no listing has shown yet. */
  waiting: pushCounts.optional(),
  /** Number of the last line of the push journal that these counters contain. */
  journal: count.optional(),
  requests: triples,
  events: triples,
});

/** Counters that go on after a restart: polls and their failures, push events by repository, requests, events. */
export type SavedCounters = z.infer<typeof savedCounters>;

/** One line of the memory's log after its first: a key, when it was stored (Unix seconds), and what it is. */
export const memoryLine = z.tuple([z.string(), z.number(), z.unknown()]);
export type Remembered = z.infer<typeof memoryLine>;
