import { CollectError } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import { type Access, createAccess } from './access.ts';
import { type Location, resourceId } from './management.ts';
import { locate, type SurroundingsSettings } from './surroundings.ts';

/**
 * Asks one of Azure's APIs about the registry as a resource; where that is, is found once.
 * @param advice what to do where the identity may not
 */
export async function askAbout<Answer>(
  settings: SurroundingsSettings,
  { context, advice }: { readonly context: CollectContext; readonly advice: string },
  ask: (access: Access, resource: string) => Promise<Answer>,
): Promise<Answer> {
  const access = createAccess(settings, context);
  const kept = context.session.keep('acr place', (): { location?: Location } => ({}));
  kept.location ??= await locate(settings, access);
  try {
    return await ask(access, resourceId(kept.location));
  } catch (error) {
    // It may have been moved.
    if (isNotFound(error)) context.session.forget('acr place');
    if (!(error instanceof CollectError) || error.reason !== 'forbidden') throw error;
    throw new CollectError('forbidden', `${error.message}: ${advice}`, { cause: error });
  }
}
