import type { Image, Kind } from '../../model.ts';
import type { FindingsOf } from './findings.ts';
import type { DockerImageRow } from './rows.ts';

const indexTypes = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]);

/** Artifact types of things that are no images, by the first expression that fits. */
const artifactKinds: readonly (readonly [RegExp, Kind])[] = [
  [/^application\/vnd\.cncf\.helm\./, 'chart'],
  [/^application\/vnd\.cncf\.notary\.signature$/, 'signature'],
  [/^application\/vnd\.dev\.cosign\.(artifact\.sig|simplesigning)\b/, 'signature'],
  [/spdx|cyclonedx|\bsyft\b|cosign\.artifact\.sbom/, 'sbom'],
  [/in-toto|sigstore\.bundle|dsse\.envelope|sarif|attestation\.manifest/, 'attestation'],
];

/** Artifact types of plain images, where a client or the registry filled the field for them too. */
const imageTypes =
  /^(application\/vnd\.(oci\.image|docker\.(container\.image|distribution\.manifest|image))\b.*)?$/;

/** cosign's tags; https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md */
const cosignTag = /^sha256-[0-9a-f]{64}\.(sig|att|sbom)$/;
const cosignKinds: Readonly<Record<string, Kind>> = { sig: 'signature', att: 'attestation', sbom: 'sbom' };

function kindOf({ mediaType, artifactType, tags }: DockerImageRow): Kind {
  const suffix =
    tags.length > 0 && tags.every((tag) => cosignTag.test(tag)) ? tags[0]?.split('.')[1] : undefined;
  if (suffix !== undefined) return cosignKinds[suffix] ?? 'other';
  if (artifactType !== '' && !imageTypes.test(artifactType))
    return artifactKinds.find(([pattern]) => pattern.test(artifactType))?.[1] ?? 'other';
  return indexTypes.has(mediaType) ? 'index' : 'image';
}

/** What the registry shows of a manifest, and what is known of its vulnerabilities. */
export function toImage(row: DockerImageRow, digest: string, findingsOf: FindingsOf | undefined): Image {
  const kind = kindOf(row);
  const { tags, sizeBytes, uploadedAt, manifests } = row;
  const isImage = kind === 'image' || kind === 'index';
  return {
    digest,
    kind,
    // A tag that only attaches something is no version of an image.
    tags: isImage || !tags.some((tag) => cosignTag.test(tag)) ? tags : [],
    ...(sizeBytes > 0 && { sizeBytes }),
    ...(uploadedAt > 0 && { pushedAt: uploadedAt }),
    ...(kind === 'index' && {
      platforms: manifests.filter(({ attestation }) => !attestation).map((manifest) => manifest.digest),
    }),
    ...(isImage && findingsOf?.(digest, kind)),
  };
}
