import pMap from 'p-map';
import { z } from 'zod';
import type { Quota } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, expected, optional, text, wholeList } from '../../wire.ts';
import type { Harbor } from './client.ts';
import { orZero } from './fields.ts';
import type { List } from './lists.ts';
import { optionalList, optionally } from './optional-parts.ts';

const quota = z.object({
  id: optional('id', count),
  // Of a project that was deleted meanwhile there is none.
  ref: optional('ref', z.object({ name: text })),
  // -1 is without limit.
  hard: expected('hard', z.object({ storage: expected('hard.storage', z.union([z.literal(-1), count])) })),
  used: expected('used', z.object({ storage: expected('used.storage', count) })),
});
type QuotaRow = z.infer<typeof quota>;

// Go leaves out what is 0: `free` of a full volume, both of an object store.
const volumes = z.object({
  storage: wholeList(z.object({ total: orZero('total'), free: orZero('free') })),
});

type Project = { readonly project_id: number; readonly name: string };

/** So many quotas that no page showed are asked for one by one. */
const quotasAtMost = 100;

const readRows = (harbor: Harbor, query: Readonly<Record<string, string>> = {}) =>
  harbor.all(
    { operation: 'quotas', path: '/quotas', query: { reference: 'project', ...query } },
    quota,
    (row: QuotaRow) => row.id ?? row.ref?.name ?? row,
  );

/**
 * Harbor orders quotas by the time of their creation only: of equal times its pages show some twice, and others never.
 * Those are asked for by their projects.
 */
async function complete(
  harbor: Harbor,
  { concurrency }: CollectContext,
  listed: List<QuotaRow>,
  projects: readonly Project[],
): Promise<List<QuotaRow>> {
  const shown = new Set(listed.items.map(({ ref }) => ref?.name));
  const rows = await pMap(
    projects.filter(({ name }) => !shown.has(name)).slice(0, quotasAtMost),
    async ({ project_id, name }) => {
      const { items } = await readRows(harbor, { reference_id: String(project_id) });
      return items.filter(({ ref }) => ref?.name === name);
    },
    { concurrency },
  );
  const items = rows.flat();
  return { items: [...listed.items, ...items], missing: Math.max(0, listed.missing - items.length) };
}

/** The storage of each project. */
export async function readQuotas(
  harbor: Harbor,
  context: CollectContext,
  projects: readonly Project[],
): Promise<Quota[]> {
  const part = { capability: 'quotas', permission: 'quota:list (system)', what: 'quotas' } as const;
  const rows = await optionalList(context, part, async () => {
    const listed = await readRows(harbor);
    return listed.missing === 0 ? listed : complete(harbor, context, listed, projects);
  });
  const ofNoProject = rows?.items.filter(({ ref }) => !ref).length;
  if (ofNoProject)
    context.tell(
      'quotas of no project',
      { quotas: ofNoProject },
      'Harbor does not say of which project some quotas are: they are left out',
    );
  return (rows?.items ?? []).flatMap(({ ref, hard, used }) => {
    const limit = hard?.storage === -1 ? undefined : hard?.storage;
    return ref ? [{ quota: 'storage', project: ref.name, used: used?.storage, limit }] : [];
  });
}

/** The volume that Harbor's files lie on; Harbor says 0 where they lie in an object store. */
export async function readVolume(harbor: Harbor, context: CollectContext): Promise<Quota[]> {
  const part = { capability: 'quotas', permission: 'system-volumes:read (system)' } as const;
  const answer = await optionally(context, part, () =>
    harbor.get({ operation: 'volumes', path: '/systeminfo/volumes' }, volumes),
  );
  const { total: limit, free } = answer?.storage[0] ?? {};
  if (!limit) return [];
  return [{ quota: 'volume', limit, used: free !== undefined && free <= limit ? limit - free : undefined }];
}
