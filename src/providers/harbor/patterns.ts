import picomatch from 'picomatch';
import { z } from 'zod';

/**
 * A selector of repositories in rules of retention and immutability; patterns are those of
 * https://github.com/goharbor/harbor/blob/main/src/lib/selector/selectors/doublestar/selector.go
 */
export const selector = z.object({ decoration: z.string().nullish(), pattern: z.string().nullish() });
type Selector = z.infer<typeof selector>;

/** `**`, `*`, `?`, `{a,b}`: https://github.com/bmatcuk/doublestar#patterns. No pattern, or `**`, is everything. */
export function matchesPattern(pattern: string | null | undefined, text: string): boolean {
  if (!pattern || pattern === '**') return true;
  return picomatch.isMatch(text, pattern, { dot: true, nonegate: true, noextglob: true });
}

/** Whether all selectors take a repository, named below its project. */
export const selects = (selectors: readonly Selector[] | null | undefined, path: string): boolean =>
  (selectors ?? []).every(
    ({ decoration, pattern }) => matchesPattern(pattern, path) !== (decoration ?? '').endsWith('Excludes'),
  );
