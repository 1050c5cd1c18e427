import { z } from 'zod';

/**
 * What is known of registries and repositories, each fact once: its type, its bounds, and how it is read back from
 * disk come from here. **A fact that was not read is `undefined`, never 0 or false.**
 */

/** A whole number of things or bytes. */
export const count = z.int().min(0);
/** A number that is not negative, such as a quota in a unit of its own, or a moment that may lie ahead. */
export const amount = z.number().min(0);
/** When something happened, in Unix seconds. */
export const time = z.number();
const flag = z.boolean();
const name = z.string();

/** Severities of findings, most severe first. Vendors' words are mapped onto these in the provider. */
export const severities = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'NEGLIGIBLE', 'UNKNOWN'] as const;
export type Severity = (typeof severities)[number];

const severityCounts = z.partialRecord(z.enum(severities), count).readonly();
/** Counts by severity; a severity that the source does not count is absent, one that it counted as none is 0. */
export type SeverityCounts = z.infer<typeof severityCounts>;

const findings = z.object({
  counts: severityCounts,
  /** Of `counts`, how many have a fixed version; absent where the source does not say. */
  fixable: severityCounts.optional(),
  /** How many have a fixed version, where the source gives one number for all severities. */
  fixableTotal: count.optional(),
});
/** Vulnerability findings of one image. */
export type Findings = Readonly<z.infer<typeof findings>>;

/**
 * What a manifest is. Only `image` and `index` count as images. A `platform` is an untagged image that an index
 * lists: it is part of that index, and not "untagged waste".
 */
export const kinds = [
  'image',
  'index',
  'platform',
  'signature',
  'sbom',
  'attestation',
  'chart',
  'other',
] as const;
export type Kind = (typeof kinds)[number];

/** State of the registry's own scan of an image. `none`: the registry says that it was never scanned. */
export const scanStatuses = ['complete', 'pending', 'failed', 'unsupported', 'none'] as const;
export type ScanStatus = (typeof scanStatuses)[number];

/** Yes/no facts about a repository's settings; each follows a practice that a team wants followed. */
export const practices = [
  'scan_on_push',
  'immutable_tags',
  'retention_policy',
  'private',
  'no_anonymous_pull',
  'no_wildcard_principal',
  'replicated',
  'no_latest_tag',
  'customer_managed_key',
  'no_admin_account',
  'no_secret_in_config',
] as const;
export type Practice = (typeof practices)[number];

const imageTotals = z.object({
  tag: name,
  digest: name,
  sizeBytes: count.optional(),
  pushedAt: time.optional(),
  scannedAt: time.optional(),
  signed: flag.optional(),
  inUse: count.optional(),
  findings: findings.optional(),
  /** Of an image that runs: the digests by which containers name it, its own or those of its platforms. */
  runs: z.array(name).readonly().optional(),
  /** Of an image that runs. */
  scanStatus: z.enum(scanStatuses).optional(),
  /** Of an image that runs: whether the configured retention expectation would remove it. */
  stale: flag.optional(),
});
/** One image that is exported by itself: a member of the bounded set. One entry per digest and tag. */
export type ImageTotals = Readonly<z.infer<typeof imageTotals>>;

/** Numbers of a repository that are exported as the registry tells them; no image changes them. */
export const toldNumbers = z.object({
  /** Pulls since the repository exists, where the registry counts them. */
  pulls: count.optional(),
  /** Stars that people gave it. */
  stars: count.optional(),
});
export type ToldNumbers = Readonly<z.infer<typeof toldNumbers>>;

/** Everything that is exported of one repository; no image is kept besides the bounded set. */
export const repositoryTotals = z.object({
  ...toldNumbers.shape,
  repository: name,
  /** Absent where not all images could be read. */
  tagged: count.optional(),
  /** Absent where the registry does not list untagged manifests. */
  untagged: count.optional(),
  /** Images in archive storage, which none of the other numbers include; absent where the registry has none such. */
  archived: count.optional(),
  archivedBytes: count.optional(),
  /** Absent where they were not read. */
  tags: count.optional(),
  /** Artifacts that are not images, by kind. */
  artifacts: z.partialRecord(z.enum(kinds), count).readonly(),
  /** Absent as soon as one image's size is unknown. */
  sizeBytes: count.optional(),
  reclaimableBytes: count.optional(),
  staleImages: count.optional(),
  lastPushAt: time.optional(),
  lastPullAt: time.optional(),
  /** Of the newest tagged image. */
  findings: findings.optional(),
  /** Images with at least one finding of the severity; absent while no image has been scanned. */
  vulnerableImages: severityCounts.optional(),
  scans: z.partialRecord(z.enum(scanStatuses), count).readonly().optional(),
  /** Newest scan of any image; absent where that of some is not known. */
  lastScanAt: time.optional(),
  /** Absent unless it is known of every image. */
  signedImages: count.optional(),
  practices: z.partialRecord(z.enum(practices), flag).readonly(),
  images: z.array(imageTotals).readonly(),
  /** Digests that run and are not among `images`; absent where nothing of the repository runs. */
  running: z
    .object({
      /** A complete listing does not have them. */
      missing: z.array(name).readonly(),
      /** Whether they are there cannot be told. */
      unclear: z.array(name).readonly(),
    })
    .optional(),
});
export type RepositoryTotals = Readonly<z.infer<typeof repositoryTotals>>;

/** A limit of the registry and how much of it is used. */
const quota = z.object({
  quota: name,
  used: amount.optional(),
  /** Absent: unlimited or unknown. */
  limit: amount.optional(),
  /** The project that it is for; absent for the whole registry. */
  project: name.optional(),
});
export type Quota = Readonly<z.infer<typeof quota>>;

/** A place that images are replicated to. */
const replication = z.object({
  destination: name,
  up: flag.optional(),
  pendingImages: count.optional(),
  failedImages: count.optional(),
  /** Of the last run, where the registry replicates in runs. */
  succeededImages: count.optional(),
  stoppedImages: count.optional(),
  /** End of the last replication that worked. */
  lastSuccessAt: time.optional(),
});
export type Replication = Readonly<z.infer<typeof replication>>;

/** A project, organisation or namespace that repositories are grouped by. */
const project = z.object({
  project: name,
  public: flag.optional(),
  repositories: count.optional(),
  members: count.optional(),
});

/** What becomes of something that a task works on. */
export const taskResults = ['succeeded', 'failed', 'stopped', 'running', 'pending'] as const;

/** A job that the registry runs by itself, such as its garbage collection; as its last run ended. */
const task = z.object({
  task: name,
  up: flag.optional(),
  lastSuccessAt: time.optional(),
  /** What the last run worked on, by what became of it. */
  items: z.partialRecord(z.enum(taskResults), count).readonly().optional(),
});
export type Task = Readonly<z.infer<typeof task>>;

/** A queue of the registry's own jobs. */
const jobQueue = z.object({
  queue: name,
  size: count.optional(),
  /** How long the oldest job has waited. */
  latencySeconds: amount.optional(),
  /** Jobs of the queue that are being worked on. */
  running: count.optional(),
  paused: flag.optional(),
});
export type JobQueue = Readonly<z.infer<typeof jobQueue>>;

/** What is known of the registry as a whole. */
export const registryFacts = z.object({
  /** Of the registry's software. */
  version: name.optional(),
  /** Settings of the registry as a whole that are on or off, such as `read_only`. */
  settings: z
    .array(z.object({ setting: name, on: flag }))
    .readonly()
    .optional(),
  /** As the registry itself accounts it: deduplicated, billed. */
  storageBytes: amount.optional(),
  quotas: z.array(quota).readonly().optional(),
  /** Pulls that are allowed within the window. */
  pullLimit: amount.optional(),
  pullRemaining: amount.optional(),
  pullLimitWindowSeconds: amount.optional(),
  /** Whom the registry counts the pulls for: an address or an account. */
  pullLimitSource: name.optional(),
  credentials: z
    .array(z.object({ credential: name, expiresAt: amount }))
    .readonly()
    .optional(),
  replications: z.array(replication).readonly().optional(),
  /** Health of the registry's parts: its database, its scanner. */
  components: z
    .array(z.object({ component: name, up: flag }))
    .readonly()
    .optional(),
  projects: z.array(project).readonly().optional(),
  tasks: z.array(task).readonly().optional(),
  jobQueues: z.array(jobQueue).readonly().optional(),
  /** Violations of the policies that somebody watches, by severity. */
  violations: z
    .array(z.object({ watch: name, severity: z.enum(severities), count }))
    .readonly()
    .optional(),
});
export type RegistryFacts = Readonly<z.infer<typeof registryFacts>>;

/** Where a registry is; labels of `container_registry_info`. */
export const registryIdentity = z.object({
  host: name.optional(),
  account: name.optional(),
  region: name.optional(),
});
export type RegistryIdentity = Readonly<z.infer<typeof registryIdentity>>;
