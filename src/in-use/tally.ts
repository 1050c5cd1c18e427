import { CollectError } from '../errors.ts';
import type { WorkloadPlace } from '../model.ts';
import { keptName } from '../names.ts';
import { type RunningImage, runningImage } from './reference.ts';

/** Containers that run one image in one place, as a source tells of them. */
export interface Containers extends WorkloadPlace {
  /** The runtime's id of the image; see `reference.ts`. */
  readonly imageId: string;
  /** What was asked for. */
  readonly image: string;
  /** How many there are. */
  readonly count: number;
}

/** The containers of one image, by its digest. */
export interface ImageUse {
  readonly containers: number;
  /** How many of them run it under the tag `latest`. */
  readonly latest: number;
  /** How many run in each place. */
  readonly places: ReadonlyMap<WorkloadPlace, number>;
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

interface ImageCount {
  containers: number;
  latest: number;
  readonly places: Map<WorkloadPlace, number>;
}

/** Tells places apart. */
export const placeKey = ({ cluster, namespace, workload }: WorkloadPlace): string =>
  `${cluster}\0${namespace}\0${workload}`;

/** Each place once, however many images run there. */
function createPlaces() {
  const places = new Map<string, WorkloadPlace>();
  return (row: WorkloadPlace): WorkloadPlace => {
    const key = placeKey(row);
    let place = places.get(key);
    if (!place) {
      const { cluster, namespace, workload } = row;
      place = {
        cluster: keptName(cluster),
        namespace: keptName(namespace),
        workload: keptName(workload),
      };
      places.set(key, place);
    }
    return place;
  };
}

/** What a runtime says of an image, and where its containers are counted. */
interface CountedImage {
  readonly isLatest: boolean;
  readonly count: ImageCount;
}

/**
 * Counts the containers of a reading by image and place, as their rows arrive. It makes little that has to be collected:
 * a large reading once a minute would hold the event loop by that.
 */
export class Counting {
  readonly #placeOf = createPlaces();
  /** By what the runtime says, which is read once. */
  readonly #counted = new Map<string, CountedImage | undefined>();
  readonly #images = new Map<string, Map<string, ImageCount>>();
  #rows = 0;
  #containers = 0;
  #unidentified = 0;

  /**
   * @param rows some at a time: a thousand take some 2 ms
   * @throws CollectError `too_large` for more than any fleet runs
   */
  add(rows: readonly Containers[]): void {
    this.#rows += rows.length;
    if (this.#rows > rowsAtMost) throw tooMany(`${rowsAtMost} rows`);
    for (const row of rows) {
      this.#containers += row.count;
      const image = this.#imageOf(row);
      if (!image) {
        this.#unidentified += row.count;
        continue;
      }
      const { count, isLatest } = image;
      count.containers += row.count;
      if (isLatest) count.latest += row.count;
      const place = this.#placeOf(row);
      count.places.set(place, (count.places.get(place) ?? 0) + row.count);
    }
  }

  tally(): Tally {
    return { images: this.#images, containers: this.#containers, unidentified: this.#unidentified };
  }

  #imageOf({ imageId, image }: Containers): CountedImage | undefined {
    const key = `${imageId}\0${image}`;
    const counted = this.#counted.get(key);
    if (counted || this.#counted.has(key)) return counted;
    if (this.#counted.size >= imagesAtMost) throw tooMany(`${imagesAtMost} different images`);
    const running = runningImage(imageId, image);
    const made = running && { isLatest: running.latest, count: this.#countOf(running) };
    this.#counted.set(key, made);
    return made;
  }

  #countOf({ name, digest }: RunningImage): ImageCount {
    const digests = this.#images.get(name) ?? new Map<string, ImageCount>();
    this.#images.set(name, digests);
    const count = digests.get(digest) ?? { containers: 0, latest: 0, places: new Map() };
    digests.set(digest, count);
    return count;
  }
}

const tooMany = (what: string): CollectError =>
  new CollectError(
    'too_large',
    `the source tells of more than ${what}: narrow its query, or divide it into several sources`,
  );
