import { CollectError } from '../../errors.ts';
import { type Part, readPart } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import type { List } from './lists.ts';

/** A part of what Harbor tells, and the permission for it, as the form of a robot account names it. */
export interface OptionalPart extends Part {
  /** Whether a Harbor that is well may refuse it with 412. */
  readonly isOptional?: boolean;
}

/**
 * Reads a part that may fail alone. What this Harbor does not have (404, 412) is reported and degrades nothing.
 * @returns undefined where the part could not be read
 */
export function optionally<T>(
  context: CollectContext,
  part: OptionalPart,
  read: () => Promise<T>,
): Promise<T | undefined> {
  return readPart(context, part, read, (error) => {
    const { status, message } = error instanceof CollectError ? error : {};
    if (status !== 404 && status !== 412) return false;
    // A scan of everything needs a scanner.
    if (status === 404 || !part.isOptional)
      context.tell(
        `lacks ${message}`,
        { capability: part.capability, err: error },
        'this Harbor does not have something that is asked for: its numbers are missing',
      );
    return true;
  });
}

/** A list was read, but not all that it has. */
export const incomplete = (what: string, missing: number): CollectError =>
  new CollectError(
    'invalid_response',
    `${missing} of Harbor's ${what} are missing from their list, or could not be understood`,
  );

/** The same of a list: what can be read of it is there, and what is missing degrades its capability. */
export async function optionalList<T>(
  context: CollectContext,
  part: OptionalPart & { readonly what: string },
  read: () => Promise<List<T>>,
): Promise<List<T> | undefined> {
  const list = await optionally(context, part, read);
  if (list && list.missing > 0)
    for (const capability of [part.capability].flat())
      context.degraded(capability, incomplete(part.what, list.missing));
  return list;
}
