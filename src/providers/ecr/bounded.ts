import type { Image } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';

/** The images that are exported one by one, picked while a repository is listed. */
export interface Bounded {
  /** An image that is seen again takes the place of its first sighting. */
  add(image: Image): void;
  all(): readonly Image[];
}

/** As the fold orders them: newest first, then by digest. */
const before = (a: Image, b: Image): boolean => {
  const [left, right] = [a.pushedAt ?? Number.NEGATIVE_INFINITY, b.pushedAt ?? Number.NEGATIVE_INFINITY];
  return left === right ? a.digest < b.digest : left > right;
};

export function createBounded({ perRepository, matches }: CollectContext['images']): Bounded {
  let newest: Image[] = [];
  const matching = new Map<string, Image>();
  return {
    add(image) {
      const { tags = [], kind, archived } = image;
      if ((kind !== 'image' && kind !== 'index') || archived || tags.length === 0) return;
      if (tags.some(matches)) matching.set(image.digest, image);
      const last = newest.at(-1);
      if (newest.length >= perRepository && (!last || before(last, image))) return;
      newest = newest.filter(({ digest }) => digest !== image.digest);
      const at = newest.findIndex((other) => before(image, other));
      newest.splice(at < 0 ? newest.length : at, 0, image);
      newest.length = Math.min(newest.length, perRepository);
    },
    all: () => [...new Map([...newest.map((image) => [image.digest, image] as const), ...matching]).values()],
  };
}
