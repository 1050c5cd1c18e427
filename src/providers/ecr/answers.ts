import type { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { shaped } from '../../http.ts';
import type { CollectContext } from '../../provider.ts';

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
export async function* pagesOf<Page>(
  operation: string,
  pages: AsyncIterable<Page>,
  tokenOf: (page: Page) => unknown,
): AsyncGenerator<Page> {
  const seen = new Set<unknown>();
  for await (const page of pages) {
    const token: unknown = tokenOf(page) ?? undefined;
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
