import { z } from 'zod';
import { splitTags } from '../../images/attached-tags.ts';
import { imageConfigs, indexTypes, kindOfType } from '../../media-types.ts';
import type { Kind, ScanStatus } from '../../model.ts';
import { anyObject, count, longestList, optional } from '../../wire.ts';

/** Go leaves out texts that are empty, and some proxies write them all the same. */
const word = z.string().max(1_024);
const digest = z.string().regex(/^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[\w=-]{32,256}$/);
const tagName = z.string().regex(/^\w[\w.-]{0,127}$/);

/** The elements of a list that can be understood, and how many others there are. */
interface Elements<T> {
  readonly items: readonly T[];
  readonly odd: number;
}

/** After so many odd elements the rest is taken for odd too: a report of a hundred thousand holds the event loop. */
export const oddAtMost = 1_000;

/** A list of which each element may be odd. An empty one is `null`; Harbor leaves out none, so an absent one is odd. */
const elements = <Schema extends z.ZodType>(of: Schema) =>
  z
    .unknown()
    .optional()
    .transform((value): Elements<z.output<Schema>> => {
      if (value === null) return { items: [], odd: 0 };
      if (!Array.isArray(value)) return { items: [], odd: 1 };
      if (value.length > longestList) return { items: [], odd: value.length };
      const items: z.output<Schema>[] = [];
      for (const [index, element] of value.entries()) {
        const parsed = of.safeParse(element);
        if (parsed.success) items.push(parsed.data);
        if (index - items.length >= oddAtMost) break;
      }
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
  tags: elements(z.object({ name: tagName })),
  references: elements(
    z.object({
      child_digest: digest,
      platform: optional(
        'platform',
        z.object({ architecture: optional('architecture', word), os: optional('os', word) }),
      ),
      annotations: optional('annotations', anyObject),
    }),
  ),
  accessories: elements(
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
export const listedArtifact = z.unknown().transform((value): Artifact | Unreadable => {
  const parsed = artifact.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const unreadable = `${issue?.path.join('.') || 'the artifact'}: ${issue?.message ?? 'invalid'}`;
  return { unreadable: unreadable.slice(0, 200), ...z.object(identity).safeParse(value).data };
});

export const isUnreadable = (artifact: Artifact | Unreadable): artifact is Unreadable =>
  'unreadable' in artifact;

/** What every list of artifacts is asked for. */
export const artifactFlags = {
  with_tag: 'true',
  with_scan_overview: 'true',
  with_accessory: 'true',
  with_label: 'false',
  with_immutable_status: 'false',
} as const;

/** https://github.com/goharbor/harbor/blob/main/src/pkg/accessory/model/accessory.go */
export function kindOfAccessory(type: string): Kind {
  if (type.startsWith('signature.')) return 'signature';
  if (type.startsWith('sbom.')) return 'sbom';
  // `subject.accessory` is anything that names the image as its subject; Harbor says no more of it in a list.
  return 'other';
}

/** The tags of an artifact, those apart that attach it to something. */
export const tagsOf = ({ tags, digest }: Artifact): ReturnType<typeof splitTags> =>
  splitTags(
    tags.items.map(({ name }) => name),
    digest,
  );

export function kindOfArtifact(artifact: Artifact): Kind {
  const { imageTags, attachedTags } = tagsOf(artifact);
  const [attached] = attachedTags;
  if (attached && imageTags.length === 0) return attached.kind ?? 'other';
  return (
    kindOfType(artifact.artifact_type ?? '') ?? kindOfType(artifact.media_type ?? '') ?? kindByWord(artifact)
  );
}

/** The kind as Harbor's own word for it says. */
function kindByWord(artifact: Artifact): Kind {
  const type = artifact.type?.toUpperCase();
  if (type === 'CHART') return 'chart';
  if (type === 'SBOM') return 'sbom';
  if (type !== 'IMAGE' && (type || !imageConfigs.has(artifact.media_type ?? ''))) return 'other';
  const isIndex = indexTypes.has(artifact.manifest_media_type ?? '') || artifact.references.items.length > 0;
  return isIndex ? 'index' : 'image';
}

/** The manifests that an index lists, without what buildx attests: its platform is `unknown/unknown`. */
export function partsOf({ references }: Artifact): { platforms: string[]; attestations: string[] } {
  const platforms: string[] = [];
  const attestations: string[] = [];
  for (const { child_digest, platform, annotations } of references.items) {
    const attests =
      annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' ||
      (platform?.os === 'unknown' && platform.architecture === 'unknown');
    (attests ? attestations : platforms).push(child_digest);
  }
  return { platforms, attestations };
}

/** Of a project: `unknown` where the account may not find out, `unhealthy` when it does not answer. */
export type Scanner = 'healthy' | 'unhealthy' | 'none' | 'unknown';

/**
 * What the absence of a scan overview means. Harbor links an artifact to its vulnerabilities exactly where a scanner
 * supports it: https://github.com/goharbor/harbor/blob/main/src/server/v2.0/handler/assembler/report.go
 */
export function statusWithoutScan(
  { addition_links: links }: Artifact,
  kind: Kind,
  scanner: Scanner,
): ScanStatus | undefined {
  if (scanner === 'none') return 'unsupported';
  if (links?.['vulnerabilities'] !== undefined) return 'none';
  // An image always has links, such as that to its build history; an index has none but this one.
  if (!links && kind !== 'index') return undefined;
  // While its scanner does not answer, Harbor takes everything for unsupported.
  return scanner === 'healthy' ? 'unsupported' : undefined;
}
