import { CollectError } from '../../errors.ts';
import type { Capability, CollectContext } from '../../provider.ts';
import type { Found } from './lists.ts';

/**
 * A refusal with the permission that would allow it, as a robot account's form and
 * https://github.com/goharbor/harbor/blob/main/src/common/rbac/const.go name it.
 */
export function explained(error: unknown, permission: string): unknown {
  if (!(error instanceof CollectError) || (error.reason !== 'forbidden' && error.reason !== 'auth'))
    return error;
  return new CollectError(error.reason, `${error.message}; it takes the permission ${permission}`, {
    cause: error,
    status: error.status,
  });
}

/** What a detail is needed for, and what allows it. */
export interface Part {
  readonly capability: Capability;
  readonly permission: string;
  /** Whether a Harbor that is well may refuse it with 412. */
  readonly isOptional?: boolean;
}

/**
 * Reads a detail that may fail alone. Undefined: it failed, and its capability is down for that; or this Harbor has no
 * such thing (404, 412), which is told.
 */
export async function optional<T>(
  context: CollectContext,
  part: Part,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    context.signal.throwIfAborted();
    const status = error instanceof CollectError ? error.status : undefined;
    if (status !== 404 && status !== 412)
      context.degraded(part.capability, explained(error, part.permission));
    // Scans of everything take a scanner.
    else if (status !== 412 || !part.isOptional)
      context.tell(
        `lacks ${(error as CollectError).message}`,
        { capability: part.capability, err: error },
        'this Harbor does not have something that is asked for: its numbers are missing',
      );
    return undefined;
  }
}

/** A list was read, but not all that it holds. */
export const incomplete = (what: string, missing: number): CollectError =>
  new CollectError(
    'invalid_response',
    `${missing} of Harbor's ${what} are missing from their list, or could not be understood`,
  );

/** The same of a list: what can be read of it is there, and what is missing brings its capability down. */
export async function optionalList<T>(
  context: CollectContext,
  part: Part & { readonly what: string },
  read: () => Promise<Found<T>>,
): Promise<Found<T> | undefined> {
  const found = await optional(context, part, read);
  if (found && found.missing > 0) context.degraded(part.capability, incomplete(part.what, found.missing));
  return found;
}
