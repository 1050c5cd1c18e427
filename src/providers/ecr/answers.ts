import type { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { walkPages } from '../../http/pages.ts';
import { shaped } from '../../http.ts';
import type { CollectContext } from '../../provider.ts';
import { readElements } from '../../wire.ts';
import { createYielder } from '../../yielding.ts';

type Telling = Pick<CollectContext, 'tell'>;

/** Reports a part of an answer that could not be understood; once while it lasts. */
export const tellOdd =
  ({ tell }: Telling, operation: string) =>
  (at: string, problem: string): void =>
    tell(
      `odd ${operation} ${at}`,
      { operation, at, problem },
      'a part of an answer could not be understood and was left out',
    );

/**
 * An answer checked by a schema; odd parts are left out and reported.
 * @throws CollectError `invalid_response`: an answer without its list is an error, not an empty list
 */
export function parsed<Schema extends z.ZodType>(
  answer: unknown,
  schema: Schema,
  operation: string,
  context: Telling,
): z.infer<Schema> {
  const odd = tellOdd(context, operation);
  return shaped(answer, schema, operation, ({ at, problem }) => odd(at, problem));
}

/** Tokens of AWS are some hundred characters long. */
const longestToken = 65_536;

/** How a paged list is asked for. */
export interface PagedList<Page extends object> {
  readonly operation: string;
  ask(nextToken: string | undefined): Promise<Page>;
  /** The field with the token of the next page; default `nextToken`. */
  readonly tokenField?: string;
}

/**
 * The pages of a list, in order.
 * @throws CollectError `pagination` for a token that is none or came before: such a list never ends
 */
export async function* pagesOf<Page extends object>(list: PagedList<Page>): AsyncGenerator<Page> {
  const { operation, ask, tokenField = 'nextToken' } = list;
  const read = async (asked: string | undefined) => {
    const page = await ask(asked);
    const given = (page as Readonly<Record<string, unknown>>)[tokenField] ?? undefined;
    // An empty one is none, as AWS' own SDKs take it; stand-ins for AWS write it on the last page:
    // `HasMorePages` of https://github.com/aws/aws-sdk-go-v2/blob/main/service/ecr/api_op_DescribeImages.go
    const token = given === '' ? undefined : given;
    if (token !== undefined && (typeof token !== 'string' || token.length > longestToken))
      throw new CollectError('pagination', `${operation} gave something for the next page that is no token`);
    return { items: [page], next: token };
  };
  for await (const pages of walkPages({ what: operation, first: undefined, read })) yield* pages;
}

/** How the rows of a paged list are read. */
interface Rows<Schema extends z.ZodType> extends PagedList<object> {
  /** The field with a page's rows. */
  readonly field: string;
  readonly row: Schema;
  readonly context: Telling;
  /** Called with the number of rows of a page that could not be understood. */
  leftOut?(rows: number): void;
}

/**
 * The rows of a paged list. Those that cannot be understood are left out and reported; what is no object is no row.
 * @throws CollectError `invalid_response` for a page without its rows, or with hardly one that can be understood
 */
export async function* rowsOf<Schema extends z.ZodType>(
  list: Rows<Schema>,
): AsyncGenerator<z.output<Schema>> {
  const { operation, field, row, context, leftOut } = list;
  const odd = tellOdd(context, operation);
  const pause = createYielder();
  for await (const page of pagesOf(list)) {
    const elements: unknown = (page as Readonly<Record<string, unknown>>)[field];
    if (!Array.isArray(elements))
      throw new CollectError('invalid_response', `${operation} was answered without a list of ${field}`);
    const objects = elements.filter((element) => typeof element === 'object' && element !== null);
    if (objects.length < elements.length) odd(field, 'elements that are no objects');
    if (objects.length === 0 && elements.length > 0)
      throw new CollectError('invalid_response', `${operation} was answered with ${field} that are none`);
    const { items, left } = await readElements(field, row, objects, ({ at, problem }) => odd(at, problem));
    if (left > 0) leftOut?.(left);
    for (const item of items) {
      yield item;
      await pause();
    }
  }
}

const refusalsAtMost = 5;

/**
 * Stops asking for what the role may not do at all: a thousand repositories would be a thousand refusals. A refusal by
 * the policy of a single repository does not stop the others.
 */
export function createGate(): <T>(ask: () => Promise<T>) => Promise<T> {
  let refusals = 0;
  let works = false;
  let lastRefusal: unknown;
  return async (ask) => {
    if (!works && refusals >= refusalsAtMost) throw lastRefusal;
    try {
      const answer = await ask();
      works = true;
      return answer;
    } catch (error) {
      if (reasonOf(error) === 'forbidden') {
        refusals += 1;
        lastRefusal = error;
      }
      throw error;
    }
  };
}
