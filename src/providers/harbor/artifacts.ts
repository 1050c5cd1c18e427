import { z } from 'zod';
import { imageConfigs, indexTypes, kindOfType } from '../../media-types.ts';
import type { Image, Kind, RepositoryFacts, ScanStatus } from '../../model.ts';
import { anyObject, count, optional } from '../../wire.ts';
import type { FindingsReader } from './findings.ts';
import { isNever, timeOf } from './time.ts';

/** Go leaves out texts that are empty, and some proxies write them all the same. */
const word = z.string().max(1_024);
const digest = z.string().regex(/^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[\w=-]{32,256}$/);
const tagName = z.string().regex(/^\w[\w.-]{0,127}$/);

/** The elements of a list that can be understood, and how many others there are. */
interface Loose<T> {
  readonly items: readonly T[];
  readonly odd: number;
}

/** A list of which each element may be odd. An empty one is `null`; Go leaves out none, so one that is not there is odd. */
const loose = <Schema extends z.ZodType>(of: Schema) =>
  z
    .unknown()
    .optional()
    .transform((value): Loose<z.output<Schema>> => {
      if (value === null) return { items: [], odd: 0 };
      if (!Array.isArray(value)) return { items: [], odd: 1 };
      const items = value.flatMap((one) => {
        const parsed = of.safeParse(one);
        return parsed.success ? [parsed.data] : [];
      });
      return { items, odd: value.length - items.length };
    });

const identity = {
  repository_name: optional('repository_name', word),
  repository_id: optional('repository_id', count),
};

/** `Artifact` of the swagger, of which only what is used. */
const artifact = z.object({
  ...identity,
  digest,
  type: optional('type', word),
  media_type: optional('media_type', word),
  manifest_media_type: optional('manifest_media_type', word),
  artifact_type: optional('artifact_type', word),
  // Go leaves out a 0, and nothing that is stored has that size.
  size: optional(
    'size',
    count.refine((bytes) => bytes > 0),
  ),
  push_time: z.unknown().optional(),
  pull_time: z.unknown().optional(),
  tags: loose(z.object({ name: tagName })),
  references: loose(
    z.object({
      child_digest: digest,
      platform: optional(
        'platform',
        z.object({ architecture: optional('architecture', word), os: optional('os', word) }),
      ),
      annotations: optional('annotations', anyObject),
    }),
  ),
  accessories: loose(
    z.object({
      digest,
      type: word.min(1),
      size: optional('size', count),
      creation_time: z.unknown().optional(),
    }),
  ),
  addition_links: optional('addition_links', anyObject),
  scan_overview: z.unknown().optional(),
});
export type Artifact = z.infer<typeof artifact>;

/** An artifact that cannot be told from others: of its repository nothing can be counted. */
export interface Unreadable {
  readonly unreadable: string;
  readonly repository_name?: string | undefined;
  readonly repository_id?: number | undefined;
}

/** An element of a list of artifacts. */
export const listed = z.unknown().transform((value): Artifact | Unreadable => {
  const parsed = artifact.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const unreadable = `${issue?.path.join('.') || 'the artifact'}: ${issue?.message ?? 'invalid'}`.slice(
    0,
    200,
  );
  return { unreadable, ...z.object(identity).safeParse(value).data };
});

export const isUnreadable = (one: Artifact | Unreadable): one is Unreadable => 'unreadable' in one;

/** What is asked of every listing of artifacts. */
export const artifactFlags = {
  with_tag: 'true',
  with_scan_overview: 'true',
  with_accessory: 'true',
  with_label: 'false',
  with_immutable_status: 'false',
} as const;

/** Tags that cosign and the referrers tag schema give to what they attach, and that are no versions of an image. */
const attachedTag = /^sha256-[0-9a-f]{64}(?:\.(sig|att|sbom))?$/;
const kindOfSuffix: Readonly<Record<string, Kind>> = {
  sig: 'signature',
  att: 'attestation',
  sbom: 'sbom',
};

/** https://github.com/goharbor/harbor/blob/main/src/pkg/accessory/model/accessory.go */
function kindOfAccessory(type: string): Kind {
  if (type.startsWith('signature.')) return 'signature';
  if (type.startsWith('sbom.')) return 'sbom';
  // `subject.accessory` is anything that names the image as its subject; Harbor says no more of it in a list.
  return 'other';
}

function kindOf(one: Artifact, tags: readonly string[]): Kind {
  const [first] = tags;
  const attached = tags.length > 0 ? tags.map((tag) => attachedTag.exec(tag)) : [];
  if (first !== undefined && attached.every((match) => match !== null))
    return kindOfSuffix[attached[0]?.[1] ?? ''] ?? 'other';
  const told = kindOfType(one.artifact_type ?? '') ?? kindOfType(one.media_type ?? '');
  if (told) return told;
  const type = one.type?.toUpperCase();
  if (type === 'CHART') return 'chart';
  if (type === 'SBOM') return 'sbom';
  if (type === 'IMAGE' || (!type && imageConfigs.has(one.media_type ?? '')))
    return indexTypes.has(one.manifest_media_type ?? '') || one.references.items.length > 0
      ? 'index'
      : 'image';
  return 'other';
}

/** The manifests that an index lists, without what buildx attests: its platform is `unknown/unknown`. */
function partsOf(one: Artifact): { platforms: string[]; attestations: string[] } {
  const platforms: string[] = [];
  const attestations: string[] = [];
  for (const { child_digest, platform, annotations } of one.references.items) {
    const attests =
      annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' ||
      (platform?.os === 'unknown' && platform.architecture === 'unknown');
    (attests ? attestations : platforms).push(child_digest);
  }
  return { platforms, attestations };
}

/**
 * What the absence of a scan overview means. Harbor links an artifact to its vulnerabilities exactly where a scanner
 * supports it: https://github.com/goharbor/harbor/blob/main/src/server/v2.0/handler/assembler/report.go
 */
function unscanned(one: Artifact, kind: Kind, scanner: Scanner): ScanStatus | undefined {
  const links = one.addition_links;
  if (scanner === 'none') return 'unsupported';
  if (links?.['vulnerabilities'] !== undefined) return 'none';
  // An image always has links, such as that to its build history; an index has none but this one.
  if (!links && kind !== 'index') return undefined;
  // While its scanner does not answer, Harbor takes everything for unsupported.
  return scanner === 'healthy' ? 'unsupported' : undefined;
}

/** Of a project: `unknown` where the account may not find out, `unhealthy` when it does not answer. */
export type Scanner = 'healthy' | 'unhealthy' | 'none' | 'unknown';

/** Turns the artifacts of one repository into images; they come oldest first, platforms before their index. */
export interface ArtifactReader {
  read(one: Artifact | Unreadable): readonly Image[];
  /** What is known of the repository when all are read. */
  facts(): RepositoryFacts;
  /** Fields that could not be understood. */
  odd(): readonly string[];
}

const attachedKinds: readonly Kind[] = ['signature', 'sbom', 'attestation', 'other'];

export function createArtifactReader(findings: FindingsReader, scanner: Scanner): ArtifactReader {
  const seen = new Set<string>();
  const unknownKinds = new Set<Kind>();
  let latest = false;
  let unreadTags = 0;
  let unreadable = false;
  let untimed = false;
  let unpulled = false;
  let findingsUnknown = false;
  const odd = new Set<string>();

  /** Notes what is missing of an artifact, so that no smaller number takes the place of the true one. */
  function noteWhatIsMissing(one: Artifact, kind: Kind): void {
    const isTagged = one.tags.items.length > 0;
    if (one.tags.odd > 0) {
      unreadTags += one.tags.odd;
      odd.add('tags');
    }
    if (one.accessories.odd > 0) {
      for (const attached of attachedKinds) unknownKinds.add(attached);
      odd.add('accessories');
    }
    if (one.size === undefined) odd.add('size');
    // Which of the others are its platforms, nobody knows.
    if (kind === 'index' && (one.references.odd > 0 || one.references.items.length === 0)) {
      unknownKinds.add('platform');
      // The worst of its platforms is its own.
      findingsUnknown = true;
      odd.add('references');
    }
    if (timeOf(one.push_time) === undefined && (isTagged || !isNever(one.push_time))) {
      untimed = true;
      if (!isNever(one.push_time)) odd.add('push_time');
    }
    if (timeOf(one.pull_time) === undefined && !isNever(one.pull_time)) {
      unpulled = true;
      odd.add('pull_time');
    }
  }

  return {
    facts: () => ({
      ...(unreadable ? { unreadTags: 'all' } : unreadTags > 0 ? { unreadTags } : {}),
      ...(unknownKinds.size > 0 && { unknownKinds: [...unknownKinds] }),
      ...(untimed && seen.size > 1 && { newestUnknown: true }),
      ...(unpulled && { lastPullUnknown: true }),
      ...(findingsUnknown && { findingsUnknown }),
      practices: { ...(!unreadable && unreadTags === 0 && { no_latest_tag: !latest }) },
    }),
    odd: () => [...odd],
    read(one) {
      if (isUnreadable(one)) {
        unreadable = true;
        odd.add(one.unreadable);
        return [];
      }
      const all = one.tags.items.map(({ name }) => name);
      const tags = all.filter((tag) => !attachedTag.test(tag));
      if (tags.includes('latest')) latest = true;
      const kind = kindOf(one, all);
      noteWhatIsMissing(one, kind);
      const pushedAt = timeOf(one.push_time);
      const pulledAt = timeOf(one.pull_time);
      const { size } = one;
      const signed = one.accessories.items.some(({ type }) => kindOfAccessory(type) === 'signature');
      const image: Image = {
        digest: one.digest,
        kind,
        tags,
        ...(size !== undefined && kind !== 'index' && { sizeBytes: size }),
        pushedAt,
        pulledAt,
        ...((signed || one.accessories.odd === 0) && { signed }),
        ...(kind === 'image' && scanOf(one, kind)),
        ...(kind === 'index' && indexOf(one, size)),
      };
      seen.add(one.digest);
      return [image, ...accessoriesOf(one)];
    },
  };

  function scanOf(one: Artifact, kind: Kind): Partial<Image> {
    const report = findings.read(one.scan_overview, (field) => odd.add(field));
    if (report === 'unreadable') {
      findingsUnknown = true;
      odd.add('scan_overview');
    }
    if (report !== 'none') return report === 'unreadable' ? {} : report;
    const scanStatus = unscanned(one, kind, scanner);
    return scanStatus ? { scanStatus } : {};
  }

  function indexOf(one: Artifact, size: number | undefined): Partial<Image> {
    if (one.references.odd > 0) return {};
    const parts = partsOf(one);
    // Harbor merges the reports of the platforms, which hides one that failed: where they are listed they tell.
    const listed = parts.platforms.length > 0 && parts.platforms.every((digest) => seen.has(digest));
    return {
      ...parts,
      ...(!listed && size !== undefined && { sizeWithPlatforms: size }),
      ...(!listed && scanOf(one, 'index')),
    };
  }

  function accessoriesOf(one: Artifact): Image[] {
    return one.accessories.items.map(({ digest, type, size, creation_time }) => {
      const pushedAt = timeOf(creation_time);
      return {
        digest,
        kind: kindOfAccessory(type),
        tags: [],
        sizeBytes: size,
        pushedAt,
      };
    });
  }
}
