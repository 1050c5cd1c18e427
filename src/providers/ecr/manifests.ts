import { z } from 'zod';
import { largestAnswer } from '../../http.ts';
import { parseManifest } from '../../images/manifest.ts';
import { indexTypes } from '../../media-types.ts';
import type { CollectContext } from '../../provider.ts';
import { list, optional, text } from '../../wire.ts';
import { createGate, parsed } from './answers.ts';
import type { Aws } from './client.ts';

/** What a manifest says that `DescribeImages` does not. It never changes, hence it is remembered by digest. */
export interface ManifestRecord {
  /** Digests that an index lists. */
  readonly platforms?: readonly string[] | undefined;
  readonly attestations?: readonly string[] | undefined;
  /** Whether a Sigstore bundle is a signature. */
  readonly signature?: boolean | undefined;
}

export interface Manifests {
  remembered(digest: string): ManifestRecord | undefined;
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
  // https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html
  failures: optional(
    'failures',
    list(
      'failures',
      z.object({
        failureCode: optional('failureCode', text),
        failureReason: optional('failureReason', text),
      }),
    ),
  ),
});

/** Says that manifests were not given, and why if ECR does: what they would tell is missing from the numbers. */
function tellUngiven(
  { tell }: Pick<CollectContext, 'tell'>,
  repository: string,
  { images, failures = [] }: z.output<typeof response>,
  asked: number,
): void {
  if (images.length >= asked) return;
  const [{ failureCode = 'no reason given', failureReason } = {}] = failures;
  tell(
    `manifests of ${repository}`,
    {
      repository,
      manifests: asked - images.length,
      failureCode,
      failureReason: failureReason?.slice(0, 200),
    },
    'manifests could not be read: which of the images are platforms of others, or signatures, is unknown',
  );
}

/** Undefined for what is no manifest, and for an index of which one entry is odd: it is unknown what it lists. */
function recordOf(manifest: string): ManifestRecord | undefined {
  try {
    const { kind, children, incomplete } = parseManifest({ body: Buffer.from(manifest) });
    if (!children) return { signature: kind === 'signature' };
    if (incomplete) return undefined;
    const digestsOf = (attestations: boolean) =>
      children.filter((child) => (child.kind === 'attestation') === attestations).map(({ digest }) => digest);
    return { platforms: digestsOf(false), attestations: digestsOf(true) };
  } catch {
    return undefined;
  }
}

const acceptedMediaTypes = [
  ...indexTypes,
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** @param registry identifies the registry that holds the manifests */
export function createManifests(aws: Aws, context: CollectContext, registry: string): Manifests {
  const { memory, tell } = context;
  const gate = createGate();
  // A digest names the same manifest in each repository.
  const keyOf = (digest: string) => `manifest ${registry} ${digest}`;
  return {
    remembered: (digest) => memory.get<ManifestRecord>(keyOf(digest))?.value,
    async *read(repositoryName, digests) {
      for (let at = 0; at < digests.length; at += batch) {
        const imageIds = digests.slice(at, at + batch).map((imageDigest) => ({ imageDigest }));
        const ask = () => aws.ecr.batchGetImage({ repositoryName, imageIds, acceptedMediaTypes });
        const answer = parsed(await gate(ask), response, 'BatchGetImage', context);
        tellUngiven(context, repositoryName, answer, imageIds.length);
        const { images } = answer;
        for (const { imageId, imageManifest } of images) {
          const digest = imageId.imageDigest;
          const record = recordOf(imageManifest);
          if (record) {
            memory.set(keyOf(digest), record);
            yield [digest, record];
          } else
            tell(
              `odd manifest ${digest}`,
              { repository: repositoryName, digest },
              'a manifest could not be understood: whether it is a signature, and which platforms it lists, is unknown',
            );
        }
      }
    },
  };
}
