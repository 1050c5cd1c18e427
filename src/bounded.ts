import type { Image } from './model.ts';

/** Which images are exported one by one: the newest of each repository, those with a tag that matches, and those that run. */
export interface ImageSelection {
  readonly perRepository: number;
  matches(tag: string): boolean;
  /** The digests of a repository that run: of images, or of their platforms. */
  running?(repository: string): ReadonlySet<string>;
}

/** Whether an image runs, by its own digest or by that of a platform. */
const isRunning = ({ digest, platforms }: Image, running: ReadonlySet<string>): boolean =>
  running.has(digest) || platforms?.some((platform) => running.has(platform)) === true;

const none: ReadonlySet<string> = new Set();

/** Newest first; those of unknown time last; then by digest, so that the order never depends on the listing. */
export function byAge(a: Pick<Image, 'digest' | 'pushedAt'>, b: Pick<Image, 'digest' | 'pushedAt'>): number {
  const [left, right] = [a.pushedAt ?? Number.NEGATIVE_INFINITY, b.pushedAt ?? Number.NEGATIVE_INFINITY];
  if (left !== right) return right > left ? 1 : -1;
  return a.digest < b.digest ? -1 : 1;
}

/** The images that are exported one by one, picked while a repository is listed. */
export interface Bounded {
  /** An image that is seen again takes the place of its first sighting. */
  add(image: Image): void;
  all(): readonly Image[];
}

export function createBounded(
  { perRepository, matches, running }: ImageSelection,
  repository: string,
): Bounded {
  const inUse = running?.(repository) ?? none;
  let newest: Image[] = [];
  const matching = new Map<string, Image>();
  return {
    add(image) {
      const { tags = [], kind, archived } = image;
      if ((kind !== 'image' && kind !== 'index') || archived) return;
      if (inUse.size > 0 && isRunning(image, inUse)) matching.set(image.digest, image);
      if (tags.length === 0) return;
      if (tags.some(matches)) matching.set(image.digest, image);
      const last = newest.at(-1);
      if (newest.length >= perRepository && (!last || byAge(last, image) < 0)) return;
      newest = [...newest.filter(({ digest }) => digest !== image.digest), image]
        .sort(byAge)
        .slice(0, perRepository);
    },
    all: () => [...new Map([...newest, ...matching.values()].map((image) => [image.digest, image])).values()],
  };
}
