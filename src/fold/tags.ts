/**
 * So many tags of one of the newest images are shown, besides those that the configuration asks for: a nightly job that
 * gives one image another tag every night must not multiply its series.
 */
const shownAtMost = 5;

/** How telling a tag is: what names a version before other names, and those before names of commits. */
interface Ranked {
  readonly tag: string;
  /** Parts of the version that it begins with, 3 of `v1.2.3-alpine`; 0 of other names, -1 of a commit's. */
  readonly precision: number;
  /** The tag with all of its numbers of one length, so that 10 comes after 9. */
  readonly natural: string;
}

function rank(tag: string): Ranked {
  const version = /^v?\d+(?:\.\d+)*(?=$|[-+_.])/i.exec(tag)?.[0];
  const isCommit = /^(?:sha-|git-)?(?=.*[a-f])[0-9a-f]{7,64}$/i.test(tag);
  return {
    tag,
    precision: version ? version.split('.').length : isCommit ? -1 : 0,
    natural: tag.replace(/\d+/g, (digits) => digits.padStart(16, '0')),
  };
}

const isMoreTelling = (a: Ranked, b: Ranked): boolean =>
  a.precision === b.precision ? a.natural > b.natural : a.precision > b.precision;

/** The most telling tags, without sorting what may be a hundred thousand of them. */
function mostTelling(tags: readonly string[], wanted: number): string[] {
  const best: Ranked[] = [];
  for (const tag of tags) {
    const ranked = rank(tag);
    const index = best.findIndex((other) => isMoreTelling(ranked, other));
    if (index >= 0) best.splice(index, 0, ranked);
    else best.push(ranked);
    if (best.length > wanted) best.pop();
  }
  return best.map(({ tag }) => tag);
}

/**
 * The tags under which an image is shown, in order: all that the configuration asks for, and of one of the newest images
 * the most telling others, up to a bound: those that name a version, the most precise first; then others in falling
 * natural order (`nightly-10` before `nightly-9`); names of commits last.
 */
export function shownTags(
  tags: readonly string[],
  { isNew, matches }: { readonly isNew: boolean; matches(tag: string): boolean },
): string[] {
  if (isNew && tags.length <= shownAtMost) return [...tags].sort();
  if (!isNew && !tags.some((tag) => matches(tag))) return [];
  const asked = new Set(tags.filter((tag) => matches(tag)));
  const room = isNew ? Math.max(0, shownAtMost - asked.size) : 0;
  const others =
    room === 0
      ? []
      : mostTelling(
          tags.filter((tag) => !asked.has(tag)),
          room,
        );
  return [...asked, ...others].sort();
}
