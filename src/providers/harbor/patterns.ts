import { z } from 'zod';
import { matchDoublestar } from './doublestar.ts';

/**
 * A selector of repositories in rules of retention and immutability, see
 * https://github.com/goharbor/harbor/blob/main/src/lib/selector/selectors/doublestar/selector.go
 */
export const selector = z.object({
  decoration: z.string().max(64).nullish(),
  pattern: z.string().max(4_096).nullish(),
});
type Selector = z.infer<typeof selector>;

/** No pattern takes everything; undefined for one that Harbor refuses. */
export function matchesPattern(pattern: string | null | undefined, name: string): boolean | undefined {
  return !pattern || pattern === '**' ? true : matchDoublestar(pattern, name);
}

/** Whether one is true for all; undefined where one is not known and none is false. */
export function every<T>(all: readonly T[], is: (one: T) => boolean | undefined): boolean | undefined {
  let unknown = false;
  for (const one of all) {
    const told = is(one);
    if (told === false) return false;
    if (told === undefined) unknown = true;
  }
  return unknown ? undefined : true;
}

/** Whether it is true for one of them; undefined where one is not known and none is true. */
export function some<T>(all: readonly T[], is: (one: T) => boolean | undefined): boolean | undefined {
  const none = every(all, (one) => {
    const told = is(one);
    return told === undefined ? undefined : !told;
  });
  return none === undefined ? undefined : !none;
}

/** Whether all selectors take a repository, named below its project. */
export const selects = (
  selectors: readonly Selector[] | null | undefined,
  path: string,
): boolean | undefined =>
  every(selectors ?? [], ({ decoration, pattern }) => {
    const matched = matchesPattern(pattern, path);
    return matched === undefined ? undefined : matched !== (decoration ?? '').endsWith('Excludes');
  });
