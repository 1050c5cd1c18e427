import { z } from 'zod';
import { count, optional, text } from '../../wire.ts';
import type { Harbor } from './client.ts';
import type { Found } from './lists.ts';

/** A robot account that expires. */
export interface Expiring {
  readonly name: string;
  readonly expiresAt: number;
}

const robot = z.object({
  name: text,
  // -1 is never; and what Go leaves out is 0, which is none either.
  expires_at: optional('expires_at', z.union([z.literal(-1), count])),
  disable: optional('disable', z.boolean()),
});

/**
 * Robot accounts that are in use and expire.
 * @param project the one whose robots are read; absent for those of the system
 */
export async function readRobots(
  harbor: Harbor,
  project?: { readonly name: string; readonly id: number },
): Promise<Found<Expiring>> {
  const query = project && { q: `Level=project,ProjectID=${project.id}` };
  const { items, missing } = await harbor.all(
    { operation: 'robots', path: '/robots', ...(query && { query }) },
    robot,
    ({ name }) => name,
  );
  // Those that were made before 2.2 are named without their project, where the name is unique alone.
  const nameOf = (name: string) =>
    project && !name.includes(`${project.name}+`) ? `${project.name}/${name}` : name;
  return {
    items: items.flatMap(({ name, expires_at, disable }) =>
      !disable && expires_at !== undefined && expires_at > 0
        ? [{ name: nameOf(name), expiresAt: expires_at }]
        : [],
    ),
    missing,
  };
}
