import type { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { shaped } from '../../http.ts';
import type { CollectContext } from '../../provider.ts';
import { readElements } from '../../wire.ts';
import { createYielder } from '../../yielding.ts';

/** Tells once of a part of an answer that could not be understood. */
export const tellOdd =
  ({ tell }: Pick<CollectContext, 'tell'>, operation: string) =>
  (at: string, problem: string): void =>
    tell(
      `odd ${operation} ${at}`,
      { operation, at, problem },
      'a part of an answer could not be understood and was left out',
    );

/**
 * The answer in its form; what is odd in it is left out and told.
 * @throws CollectError `invalid_response`: an answer without its list is an error, not an empty list
 */
export function parsed<Schema extends z.ZodType>(
  answer: unknown,
  schema: Schema,
  operation: string,
  context: Pick<CollectContext, 'tell'>,
): z.infer<Schema> {
  const odd = tellOdd(context, operation);
  return shaped(answer, schema, operation, ({ at, problem }) => odd(at, problem));
}

/** AWS' tokens are some hundred characters long; the listing of the largest quota has a hundred pages. */
const longestToken = 65_536;
const mostPages = 100_000;

/**
 * The pages that one of the SDK's paginators asks for.
 * @throws CollectError `pagination` for a token that was given before: such a listing has no end
 */
export async function* pagesOf<Page extends object>(
  operation: string,
  pages: AsyncIterable<Page>,
  tokenField = 'nextToken',
): AsyncGenerator<Page> {
  const seen = new Set<unknown>();
  for await (const page of pages) {
    const token = (page as Readonly<Record<string, unknown>>)[tokenField] ?? undefined;
    if (token !== undefined && (typeof token !== 'string' || token === '' || token.length > longestToken))
      throw new CollectError('pagination', `${operation} gave something for the next page that is no token`);
    if (token !== undefined && (seen.has(token) || seen.size >= mostPages))
      throw new CollectError(
        'pagination',
        `${operation} gave a token for the next page that it gave before: its listing never ends`,
      );
    seen.add(token);
    yield page;
  }
}

/** Which rows are read from pages. */
interface Rows<Schema extends z.ZodType> {
  readonly operation: string;
  /** Where a page has them. */
  readonly field: string;
  readonly row: Schema;
  readonly context: Pick<CollectContext, 'tell'>;
  /** Where a page has the token of the next one; default `nextToken`. */
  readonly tokenField?: string;
  /** Told how many rows of a page could not be understood. */
  leftOut?(rows: number): void;
}

/**
 * All rows of pages; those that cannot be understood are left out and told. What is no object is no row.
 * @throws CollectError `invalid_response` for a page without its rows, or with hardly one that can be understood
 */
export async function* rowsOf<Schema extends z.ZodType>(
  pages: AsyncIterable<object>,
  { operation, field, row, context, tokenField, leftOut }: Rows<Schema>,
): AsyncGenerator<z.output<Schema>> {
  const odd = tellOdd(context, operation);
  const pause = createYielder();
  for await (const page of pagesOf(operation, pages, tokenField)) {
    const list: unknown = (page as Readonly<Record<string, unknown>>)[field];
    if (!Array.isArray(list))
      throw new CollectError('invalid_response', `${operation} was answered without a list of ${field}`);
    const objects = list.filter((element) => typeof element === 'object' && element !== null);
    if (objects.length < list.length) odd(field, 'elements that are no objects');
    if (objects.length === 0 && list.length > 0)
      throw new CollectError('invalid_response', `${operation} was answered with ${field} that are none`);
    const { items, left } = await readElements(field, row, objects, ({ at, problem }) => odd(at, problem));
    if (left > 0) leftOut?.(left);
    for (const item of items) {
      yield item;
      await pause();
    }
  }
}

/**
 * Gives up asking what the role may not do at all: a thousand repositories would be a thousand refusals. One that is
 * refused by the policy of a single repository goes on for the others.
 */
export function createGate(): <T>(ask: () => Promise<T>) => Promise<T> {
  let refusals = 0;
  let works = false;
  let refusal: unknown;
  return async (ask) => {
    if (!works && refusals >= 5) throw refusal;
    try {
      const answer = await ask();
      works = true;
      return answer;
    } catch (error) {
      if (reasonOf(error) === 'forbidden') {
        refusals += 1;
        refusal = error;
      }
      throw error;
    }
  };
}
