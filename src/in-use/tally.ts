import { CollectError } from '../errors.ts';
import type { PlacedContainers, WorkloadPlace } from '../model.ts';
import { keptName } from '../names.ts';
import { createYielder } from '../yielding.ts';
import { type RunningImage, runningImage } from './reference.ts';
import type { Containers } from './source.ts';

/** The containers of one image, by its digest. */
export interface ImageUse {
  readonly containers: number;
  /** How many of them run it under the tag `latest`. */
  readonly latest: number;
  readonly places: readonly PlacedContainers[];
}

/** What runs, as one reading of one source told. */
export interface Tally {
  /** By the image's name with its host, then by digest. */
  readonly images: ReadonlyMap<string, ReadonlyMap<string, ImageUse>>;
  readonly containers: number;
  /** Containers of which nothing names a manifest, such as those of an image that was never pushed. */
  readonly unidentified: number;
}

/** More rows than any fleet has: 500,000 containers of the largest clusters, each by itself. */
const rowsAtMost = 1_000_000;
/** Different images that run; Kubernetes itself is tested up to 150,000 pods. */
const imagesAtMost = 100_000;

interface Counting {
  containers: number;
  latest: number;
  readonly places: Map<string, WorkloadPlace & { containers: number }>;
}

/** Where an image's containers are counted; made when the first is seen. */
function countingOf(images: Map<string, Map<string, Counting>>, { name, digest }: RunningImage): Counting {
  const digests = images.get(name) ?? new Map<string, Counting>();
  images.set(name, digests);
  const counting = digests.get(digest) ?? { containers: 0, latest: 0, places: new Map() };
  digests.set(digest, counting);
  return counting;
}

/** Tells places apart. */
export const placeKey = ({ cluster, namespace, workload }: WorkloadPlace): string =>
  `${cluster}\0${namespace}\0${workload}`;

function countIn(counting: Counting, row: Containers, latest: boolean): void {
  const { cluster, namespace, workload, count } = row;
  counting.containers += count;
  if (latest) counting.latest += count;
  const key = placeKey(row);
  const place = counting.places.get(key);
  if (place) place.containers += count;
  else
    counting.places.set(key, {
      cluster: keptName(cluster),
      namespace: keptName(namespace),
      workload: keptName(workload),
      containers: count,
    });
}

/** The counts as they are kept. */
const settled = ({ containers, latest, places }: Counting): ImageUse => ({
  containers,
  latest,
  places: [...places.values()],
});

/** The image of each row; what a runtime says of one is read once. */
function createImages() {
  const known = new Map<string, RunningImage | undefined>();
  return ({ imageId, image }: Containers): RunningImage | undefined => {
    const key = `${imageId}\0${image}`;
    if (!known.has(key)) {
      if (known.size >= imagesAtMost) throw tooMany(`${imagesAtMost} different images`);
      known.set(key, runningImage(imageId, image));
    }
    return known.get(key);
  };
}

/** Rows that are counted before others may go on: some 2 ms. */
const rowsAtOnce = 1_000;

/** The rows of all pieces, some at a time; it gives way to others. */
async function* slicesOf(
  pieces: AsyncIterable<readonly Containers[]>,
): AsyncGenerator<readonly Containers[]> {
  const pause = createYielder();
  let rows = 0;
  for await (const piece of pieces) {
    rows += piece.length;
    if (rows > rowsAtMost) throw tooMany(`${rowsAtMost} rows`);
    for (let start = 0; start < piece.length; start += rowsAtOnce) {
      yield piece.length <= rowsAtOnce ? piece : piece.slice(start, start + rowsAtOnce);
      await pause();
    }
  }
}

/**
 * Counts the containers of a reading by image and place. It gives way to others.
 * @throws CollectError `too_large` for more than any fleet runs
 */
export async function tallyOf(pieces: AsyncIterable<readonly Containers[]>): Promise<Tally> {
  const pause = createYielder();
  const imageOf = createImages();
  const images = new Map<string, Map<string, Counting>>();
  let containers = 0;
  let unidentified = 0;
  for await (const slice of slicesOf(pieces))
    for (const row of slice) {
      containers += row.count;
      const image = imageOf(row);
      if (image) countIn(countingOf(images, image), row, image.latest);
      else unidentified += row.count;
    }
  const kept = new Map<string, ReadonlyMap<string, ImageUse>>();
  for (const [name, digests] of images) {
    kept.set(name, new Map([...digests].map(([digest, counting]) => [digest, settled(counting)])));
    await pause();
  }
  return { images: kept, containers, unidentified };
}

const tooMany = (what: string): CollectError =>
  new CollectError(
    'too_large',
    `the source tells of more than ${what}: narrow its query, or divide it into several sources`,
  );
