import { z } from 'zod';
import { imageConfigs, indexTypes, kindOfType } from '../../media-types.ts';
import type { Image, Kind, ScanStatus } from '../../model.ts';
import { type FindingsReader, scanOverview } from './findings.ts';
import { timeOf } from './time.ts';

const text = z.string().nullish();
const notes = z.record(z.string(), z.unknown()).nullish();

/** `Artifact` of the swagger, of which only what is used. Empty lists are `null`. */
export const artifact = z.object({
  digest: z.string().min(1),
  type: text,
  media_type: text,
  manifest_media_type: text,
  artifact_type: text,
  repository_name: text,
  repository_id: z.number().nullish(),
  size: z.number().nullish(),
  push_time: text,
  pull_time: text,
  tags: z.array(z.object({ name: z.string() })).nullish(),
  references: z
    .array(
      z.object({
        child_digest: z.string(),
        platform: z.object({ architecture: text, os: text }).nullish(),
        annotations: notes,
      }),
    )
    .nullish(),
  accessories: z
    .array(
      z.object({ digest: z.string(), type: z.string(), size: z.number().nullish(), creation_time: text }),
    )
    .nullish(),
  addition_links: notes,
  scan_overview: scanOverview.nullish(),
});
export type Artifact = z.infer<typeof artifact>;

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
    return indexTypes.has(one.manifest_media_type ?? '') ? 'index' : 'image';
  return 'other';
}

/** The manifests that an index lists, without what buildx attests: its platform is `unknown/unknown`. */
function partsOf(one: Artifact): { platforms: string[]; attestations: string[] } {
  const platforms: string[] = [];
  const attestations: string[] = [];
  for (const { child_digest, platform, annotations } of one.references ?? []) {
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
function unscanned(one: Artifact, kind: Kind, scanners: Scanners): ScanStatus | undefined {
  const links = one.addition_links;
  if (scanners === 'none') return 'unsupported';
  // An image always has links, such as that to its build history; an index has none but this one.
  if (links?.['vulnerabilities'] !== undefined || (!links && kind !== 'index')) return 'none';
  // While a scanner does not answer, Harbor takes everything for unsupported.
  return scanners === 'healthy' ? 'unsupported' : undefined;
}

/** Of the installation: `unknown` where the account may not list them, `unhealthy` when one does not answer. */
export type Scanners = 'healthy' | 'unhealthy' | 'none' | 'unknown';

/** Turns the artifacts of one repository into images; they come oldest first, platforms before their index. */
export interface ArtifactReader {
  read(one: Artifact): readonly Image[];
  /** Whether a version of an image is named `latest`. */
  hasLatestTag(): boolean;
}

export function createArtifactReader(findings: FindingsReader, scanners: Scanners): ArtifactReader {
  const seen = new Set<string>();
  let latest = false;
  return {
    hasLatestTag: () => latest,
    read(one) {
      const all = (one.tags ?? []).map(({ name }) => name);
      const tags = all.filter((tag) => !attachedTag.test(tag));
      if (tags.includes('latest')) latest = true;
      const kind = kindOf(one, all);
      const pushedAt = timeOf(one.push_time);
      const pulledAt = timeOf(one.pull_time);
      const size = one.size ?? undefined;
      const image: Image = {
        digest: one.digest,
        kind,
        tags,
        ...(size !== undefined && kind !== 'index' && { sizeBytes: size }),
        ...(pushedAt !== undefined && { pushedAt }),
        ...(pulledAt !== undefined && { pulledAt }),
        ...(one.accessories !== undefined && {
          signed: (one.accessories ?? []).some(({ type }) => kindOfAccessory(type) === 'signature'),
        }),
        ...(kind === 'image' && scanOf(one, kind)),
        ...(kind === 'index' && indexOf(one, size)),
      };
      seen.add(one.digest);
      return [image, ...accessoriesOf(one)];
    },
  };

  function scanOf(one: Artifact, kind: Kind): Partial<Image> {
    const scanned = findings.read(one.scan_overview);
    const scanStatus = scanned.scanStatus ?? (one.scan_overview ? undefined : unscanned(one, kind, scanners));
    return { ...scanned, ...(scanStatus && { scanStatus }) };
  }

  function indexOf(one: Artifact, size: number | undefined): Partial<Image> {
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
    return (one.accessories ?? []).map(({ digest, type, size, creation_time }) => {
      const pushedAt = timeOf(creation_time);
      return {
        digest,
        kind: kindOfAccessory(type),
        tags: [],
        ...(typeof size === 'number' && { sizeBytes: size }),
        ...(pushedAt !== undefined && { pushedAt }),
      };
    });
  }
}
