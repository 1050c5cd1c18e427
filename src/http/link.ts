import { CollectError } from '../errors.ts';

/**
 * The target of `rel="next"` in Link headers (RFC 8288), resolved against the page's own address; undefined when
 * there is none.
 * @param headers every Link header line of the answer; each may hold several links
 */
export function parseLinkNext(headers: readonly string[], base: URL): URL | undefined {
  for (const header of headers) {
    // A target may hold commas, so links are found by their brackets and not by splitting.
    for (const match of header.matchAll(
      /<([^>]*)>((?:\s*;\s*[\w!#$&+.^`|~-]+\*?\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]+))?)*)/g,
    )) {
      const [, target = '', parameters = ''] = match;
      // One by one: a title may hold what looks like another parameter.
      const rel = [
        ...parameters.matchAll(/;\s*([^\s;=]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+)))?/g),
      ].find(([, name]) => name?.toLowerCase() === 'rel');
      const relations = (rel?.[2] ?? rel?.[3] ?? '').toLowerCase().split(/\s+/);
      if (!relations.includes('next')) continue;
      if (!URL.canParse(target, base))
        throw new CollectError(
          'pagination',
          `${base.origin} sent a Link to the next page that is no address`,
        );
      return new URL(target, base);
    }
  }
  return undefined;
}

/** Refuses a page that was seen before, that lies on another origin, or that comes after too many others. */
export function createPageGuard(origin: string, maxPages = 100_000): (next: URL) => void {
  const seen = new Set<string>();
  return (next) => {
    if (next.origin !== origin)
      throw new CollectError(
        'pagination',
        `${origin} sent a next page on another origin, ${next.origin}: not followed`,
      );
    if (seen.has(next.href))
      throw new CollectError(
        'pagination',
        `${origin} sent a next page that was read before: its listing never ends`,
      );
    if (seen.size >= maxPages)
      throw new CollectError(
        'pagination',
        `${origin} sent more than ${maxPages} pages: its listing never ends`,
      );
    seen.add(next.href);
  };
}
