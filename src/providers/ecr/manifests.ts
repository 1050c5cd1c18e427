import { z } from 'zod';
import { largestAnswer } from '../../http.ts';
import { indexTypes, isSigningBundle } from '../../media-types.ts';
import type { CollectContext } from '../../provider.ts';
import { list, optional, text } from '../../wire.ts';
import { createGate, parsed } from './answers.ts';
import type { Aws } from './client.ts';

/** What a manifest says that `DescribeImages` does not. Immutable, hence remembered by digest. */
export interface ManifestRecord {
  /** Of an index: digests of what it lists. */
  readonly platforms?: readonly string[];
  readonly attestations?: readonly string[];
  /** Of a Sigstore bundle: whether it is a signature. */
  readonly signature?: boolean;
}

export interface Manifests {
  /** What is remembered. */
  known(digest: string): ManifestRecord | undefined;
  /**
   * Reads manifests of one repository, those that can be had.
   * @throws CollectError
   */
  read(repository: string, digests: readonly string[]): AsyncIterable<readonly [string, ManifestRecord]>;
}

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html */
const batch = 100;

const response = z.object({
  images: list(
    'images',
    z.object({
      imageId: z.object({ imageDigest: text }),
      imageManifest: z.string().max(largestAnswer.manifest),
    }),
  ),
});

// Values are compared only: those of other types are as good as others.
const annotations = optional('annotations', z.record(z.string(), z.unknown()));
const document = z.object({
  // As a whole: with one odd entry it is unknown what the index lists.
  manifests: z
    .array(z.object({ digest: text, annotations }))
    .max(10_000)
    .nullish(),
  annotations,
});

function recordOf(text: string): ManifestRecord | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const manifest = document.safeParse(json);
  if (!manifest.success) return undefined;
  const { manifests, annotations: notes } = manifest.data;
  if (!manifests) return { signature: isSigningBundle(notes as Record<string, string> | undefined) };
  // https://docs.docker.com/build/metadata/attestations/attestation-storage/
  const isAttestation = (child: (typeof manifests)[number]) =>
    child.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest';
  const attestations = manifests.filter(isAttestation).map(({ digest }) => digest);
  return {
    platforms: manifests.filter((child) => !isAttestation(child)).map(({ digest }) => digest),
    ...(attestations.length > 0 && { attestations }),
  };
}

const acceptedMediaTypes = [
  ...indexTypes,
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** @param registry where the manifests are */
export async function createManifests(
  aws: Aws,
  context: CollectContext,
  registry: string,
): Promise<Manifests> {
  const { memory } = context;
  const { BatchGetImageCommand } = await import('@aws-sdk/client-ecr');
  const gate = createGate();
  // A digest is what a manifest holds: it is the same in each repository.
  const keyOf = (digest: string) => `manifest ${registry} ${digest}`;
  return {
    known: (digest) => memory.get<ManifestRecord>(keyOf(digest))?.value,
    async *read(repositoryName, digests) {
      for (let at = 0; at < digests.length; at += batch) {
        const imageIds = digests.slice(at, at + batch).map((imageDigest) => ({ imageDigest }));
        const answer = await gate(() =>
          aws.ecr.send(new BatchGetImageCommand({ repositoryName, imageIds, acceptedMediaTypes })),
        );
        for (const { imageId, imageManifest } of parsed(answer, response, 'BatchGetImage', context).images) {
          const record = recordOf(imageManifest);
          if (!record) {
            context.tell(
              `odd manifest ${imageId.imageDigest}`,
              { repository: repositoryName, digest: imageId.imageDigest },
              'a manifest could not be understood: what it lists or is, is unknown',
            );
            continue;
          }
          memory.set(keyOf(imageId.imageDigest), record);
          yield [imageId.imageDigest, record];
        }
      }
    },
  };
}
