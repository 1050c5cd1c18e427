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
export const matchesPattern = (pattern: string | null | undefined, name: string): boolean | undefined =>
  !pattern || pattern === '**' ? true : matchDoublestar(pattern, name);

/** Whether something is true of all; undefined where it is unknown of one and false of none. */
export function every<T>(all: readonly T[], isTrue: (item: T) => boolean | undefined): boolean | undefined {
  let unknown = false;
  for (const item of all) {
    const answer = isTrue(item);
    if (answer === false) return false;
    unknown ||= answer === undefined;
  }
  return unknown ? undefined : true;
}

const not = (answer: boolean | undefined) => (answer === undefined ? undefined : !answer);

/** Whether something is true of one of them; undefined where it is unknown of one and true of none. */
export const some = <T>(all: readonly T[], isTrue: (item: T) => boolean | undefined): boolean | undefined =>
  not(every(all, (item) => not(isTrue(item))));

/** Whether all selectors take a repository, named below its project. */
export const selects = (
  selectors: readonly Selector[] | null | undefined,
  path: string,
): boolean | undefined =>
  every(selectors ?? [], ({ decoration, pattern }) => {
    const matches = matchesPattern(pattern, path);
    return decoration?.endsWith('Excludes') ? not(matches) : matches;
  });
