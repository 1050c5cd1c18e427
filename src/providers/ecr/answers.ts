import type { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';

/**
 * The answer in its form.
 * @throws CollectError `invalid_response`: an answer without its list is an error, not an empty list
 */
export function parsed<Schema extends z.ZodType>(
  answer: unknown,
  schema: Schema,
  operation: string,
): z.infer<Schema> {
  const result = schema.safeParse(answer);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new CollectError(
    'invalid_response',
    `${operation} was answered with JSON of another shape: ${issue?.path.join('.') || 'the answer'}: ${issue?.message}`,
  );
}

/** Refuses a token that was given before: such a listing has no end. */
export function createTokenGuard(operation: string): (token: string) => void {
  const seen = new Set<string>();
  return (token) => {
    if (seen.has(token) || seen.size >= 100_000)
      throw new CollectError(
        'pagination',
        `${operation} gave a token for the next page that it gave before: its listing never ends`,
      );
    seen.add(token);
  };
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
