import { CollectError } from '../../errors.ts';
import type { Capability, CollectContext } from '../../provider.ts';

/**
 * A refusal with the permission that would allow it, as a robot account's form and
 * https://github.com/goharbor/harbor/blob/main/src/common/rbac/const.go name it.
 */
export function explained(error: unknown, permission: string): unknown {
  if (!(error instanceof CollectError) || (error.reason !== 'forbidden' && error.reason !== 'auth'))
    return error;
  return new CollectError(error.reason, `${error.message}; it takes the permission ${permission}`, {
    cause: error,
    ...(error.status !== undefined && { status: error.status }),
  });
}

/**
 * Reads a detail that may fail alone. Undefined: it failed, and its capability is down for that; or this Harbor has no
 * such thing, since it is too old (404) or lacks what it is about (412).
 */
export async function optional<T>(
  context: CollectContext,
  part: { readonly capability: Capability; readonly permission: string },
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    context.signal.throwIfAborted();
    const status = error instanceof CollectError ? error.status : undefined;
    if (status !== 404 && status !== 412)
      context.degraded(part.capability, explained(error, part.permission));
    return undefined;
  }
}
