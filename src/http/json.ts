import type { z } from 'zod';
import { CollectError } from '../errors.ts';
import { type Oddity, parseWire, readElements } from '../wire.ts';
import { nextTurn } from '../yielding.ts';
import { explanation, shown } from './failure.ts';
import { jsonIn, parsedAtOnce, parseInPieces } from './parse.ts';

/** What of an answer is needed to read it as JSON. */
export interface JsonAnswer {
  readonly body: Buffer;
  readonly url: URL;
  /** Whether its words are not repeated. */
  readonly stranger?: boolean;
  /** The body's JSON, where it was large and has been parsed in pieces already. */
  readonly parsed?: { readonly value: unknown };
  /** Called with what is odd in it. */
  readonly onOddity?: (oddity: Oddity) => void;
}

const noJson = ({ url, body, stranger }: JsonAnswer, cause: unknown): CollectError =>
  stranger
    ? new CollectError('invalid_response', `${shown(url)} answered no JSON`)
    : new CollectError('invalid_response', `${shown(url)} answered no JSON${explanation(body)}`, { cause });

/**
 * Whether an answer holds nothing but errors, as registries and JFrog's platform write them: a gateway may send them with
 * 200, and where all fields may be absent they would pass for an answer that tells nothing. Xray's errors of single
 * images have no `message`: https://jfrog.com/help/r/xray-rest-apis/artifact-summary
 */
function isRefusal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Object.keys(value).join() !== 'errors') return false;
  const [first] = [(value as { errors: unknown }).errors].flat();
  return typeof (first as { message?: unknown } | null | undefined)?.message === 'string';
}

/**
 * Parses a JSON body with a schema; see `wire.ts` for schemas that leave out what is odd.
 * @throws CollectError `invalid_response` saying what was wrong: an answer without its list is an error, not empty.
 */
export function json<Schema extends z.ZodType>(response: JsonAnswer, schema: Schema): z.infer<Schema> {
  let value: unknown;
  try {
    value = response.parsed ? response.parsed.value : jsonIn(response.body);
  } catch (error) {
    throw noJson(response, error);
  }
  if (isRefusal(value))
    throw new CollectError(
      'invalid_response',
      `${shown(response.url)} answered errors alone${response.stranger ? '' : explanation(response.body)}`,
    );
  return shaped(value, schema, shown(response.url), response.onOddity);
}

/**
 * A parsed answer in its form, whoever parsed it.
 * @public
 * @param what names the answer in the error: an address or an operation
 * @throws CollectError `invalid_response`
 */
export function shaped<Schema extends z.ZodType>(
  value: unknown,
  schema: Schema,
  what: string,
  onOddity?: (oddity: Oddity) => void,
): z.infer<Schema> {
  const result = parseWire(value, schema, onOddity);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue?.path.join('.').slice(0, 200) || 'the answer';
  throw new CollectError(
    'invalid_response',
    `${what} answered JSON of another shape: ${path}: ${issue?.message.slice(0, 200)}`,
  );
}

/**
 * The elements of a list in an answer that may be long, without the odd ones; it gives way to others.
 * @param at the list's name, for reports
 * @throws CollectError `invalid_response` where hardly one can be understood
 */
export async function elementsOf<Schema extends z.ZodType>(
  { url, onOddity }: Pick<JsonAnswer, 'url' | 'onOddity'>,
  at: string,
  of: Schema,
  values: readonly unknown[],
): Promise<{ readonly items: z.output<Schema>[]; readonly left: number }> {
  try {
    return await readElements(at, of, values, onOddity);
  } catch (error) {
    throw new CollectError('invalid_response', `${shown(url)} answered a list without readable elements`, {
      cause: error,
    });
  }
}

const opensJson = (body: Buffer): boolean => /^\s*[{[]/.test(body.subarray(0, 64).toString('utf8'));

/** Bodies of a millisecond and more are parsed in a turn of their own: several may have come at once. */
const parsedInOwnTurn = 2 ** 17;

/**
 * Parses a large body in pieces, since it would hold the event loop; a small one is left to {@link json}.
 * @throws CollectError as {@link json} does, and `too_large`
 */
export async function parseLarge(answer: JsonAnswer): Promise<{ readonly value: unknown } | undefined> {
  if (answer.body.length > parsedInOwnTurn) await nextTurn();
  if (answer.body.length <= parsedAtOnce || !opensJson(answer.body)) return undefined;
  try {
    return { value: await parseInPieces(answer.body, shown(answer.url)) };
  } catch (error) {
    throw error instanceof CollectError ? error : noJson(answer, error);
  }
}
