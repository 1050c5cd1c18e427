import { CollectError } from '../../errors.ts';
import type { Page } from './rows.ts';

/** The largest that all of the lists allow. */
export const pageSize = 1000;
const maxPages = 100_000;

/** Pages until a token is empty. @throws CollectError `pagination` when a token comes again */
export async function* pages<T>(
  operation: string,
  read: (pageToken: string) => Promise<Page<T>>,
): AsyncGenerator<readonly T[]> {
  const seen = new Set<string>();
  for (let token = ''; ; ) {
    const { rows, next } = await read(token);
    yield rows;
    if (!next) return;
    if (seen.has(next) || seen.size >= maxPages)
      throw new CollectError(
        'pagination',
        `${operation} gave a page token that it gave before: it never ends`,
      );
    seen.add(next);
    token = next;
  }
}
