import { z } from 'zod';
import { count, expected, text } from '../../wire.ts';
import type { Harbor } from './client.ts';
import type { List } from './lists.ts';

/** A robot account that expires. */
export interface Expiring {
  readonly name: string;
  readonly expiresAt: number;
}

const robot = z.object({
  name: text,
  // -1 is never.
  expires_at: expected('expires_at', z.union([z.literal(-1), count])),
  disable: expected('disable', z.boolean()),
});

/**
 * Robot accounts that are in use and expire.
 * @param project the one whose robot accounts are read; absent for those of the system
 */
export async function readRobots(
  harbor: Harbor,
  project?: { readonly name: string; readonly id: number },
): Promise<List<Expiring>> {
  const query = project && { q: `Level=project,ProjectID=${project.id}` };
  const { items, missing } = await harbor.all(
    { operation: 'robots', path: '/robots', query },
    robot,
    ({ name }) => name,
  );
  // Those that were made before 2.2 are named without their project, within which their name is unique.
  const nameOf = (name: string) =>
    project && !name.includes(`${project.name}+`) ? `${project.name}/${name}` : name;
  const inUse = items.filter(({ disable }) => !disable);
  return {
    items: inUse.flatMap(({ name, expires_at: expiresAt = 0 }) =>
      expiresAt > 0 ? [{ name: nameOf(name), expiresAt }] : [],
    ),
    missing: missing + inUse.filter(({ expires_at }) => expires_at === undefined).length,
  };
}
