import pMap from 'p-map';
import { z } from 'zod';
import type { Quota, RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, expected, list, optional, text, wholeList } from '../../wire.ts';
import type { Caller, Harbor } from './client.ts';
import { orZero } from './fields.ts';
import type { Found } from './lists.ts';
import { optionalList, optional as optionally } from './permissions.ts';
import { tellOfWord } from './words.ts';

type Component = NonNullable<RegistryFacts['components']>[number];

const word = z.string().max(256);
const flag = (at: string) => optional(at, z.boolean());

const info = z.object({
  harbor_version: optional('harbor_version', word),
  read_only: flag('read_only'),
  self_registration: flag('self_registration'),
  has_ca_root: flag('has_ca_root'),
  notification_enable: flag('notification_enable'),
});

const health = z.object({
  status: expected('status', word),
  components: list('components', z.object({ name: text, status: word })),
});

const statistic = z.object({
  total_project_count: expected('total_project_count', count),
  total_storage_consumption: expected('total_storage_consumption', count),
});

const quota = z.object({
  id: optional('id', count),
  // Of a project that was deleted meanwhile there is none.
  ref: optional('ref', z.object({ name: text })),
  hard: expected('hard', z.object({ storage: expected('hard.storage', z.union([z.literal(-1), count])) })),
  used: expected('used', z.object({ storage: expected('used.storage', count) })),
});
type QuotaRow = z.infer<typeof quota>;
const keyOf = (one: QuotaRow): unknown => one.id ?? one.ref?.name ?? one;

// Go leaves out what is 0: `free` of a full volume, both of an object store.
const volumes = z.object({
  storage: wholeList(z.object({ total: orZero('total'), free: orZero('free') })),
});
const endpoint = z.object({ id: optional('id', count), name: text, status: optional('status', word) });

/** Whether a part works; nothing for a word that says neither. */
const stateOf = (component: string, word: string | undefined): Component[] =>
  word === 'healthy' || word === 'unhealthy' ? [{ component, up: word === 'healthy' }] : [];

/** So many quotas that no page showed are asked for one by one. */
const quotasAtMost = 100;

/** Reads what concerns Harbor as a whole. Each part may fail alone. */
export function createSystem(harbor: Harbor, context: CollectContext) {
  return {
    /** Anybody may ask; the version is told to those whose credentials are good. */
    async info(): Promise<Pick<RegistryFacts, 'version' | 'settings'>> {
      const found = await optionally(context, { capability: 'health', permission: 'any account' }, () =>
        harbor.get({ operation: 'systeminfo', path: '/systeminfo' }, info),
      );
      if (!found) return {};
      const { harbor_version: version, ...flags } = found;
      const settings = Object.entries(flags).flatMap(([setting, on]) =>
        typeof on === 'boolean' ? [{ setting, on }] : [],
      );
      return { settings, ...(version && { version }) };
    },

    async components(): Promise<Component[] | undefined> {
      const found = await optionally(context, { capability: 'health', permission: 'none' }, () =>
        harbor.get({ operation: 'health', path: '/health' }, health),
      );
      if (!found) return undefined;
      const all = [{ name: 'overall', status: found.status }, ...found.components];
      return all.flatMap(({ name, status }) => {
        const state = stateOf(name, status);
        if (state.length === 0) tellOfWord(context, `the health of ${name}`, status);
        return state;
      });
    },

    /** Registries that replication and proxy caches reach. */
    async endpoints(): Promise<Component[]> {
      const found = await optionalList(
        context,
        { capability: 'replication', permission: 'registry:list (system)', what: 'registries' },
        () =>
          // Without an order pages may repeat and lose rows.
          harbor.all(
            { operation: 'registries', path: '/registries', query: { sort: 'id' } },
            endpoint,
            ({ id, name }) => id ?? name,
          ),
      );
      return (found?.items ?? []).flatMap(({ name, status }) => stateOf(`registry ${name}`, status));
    },

    /** Told to system administrators only, to whom alone the number of all projects is not 0. */
    async storageBytes(caller: Caller): Promise<number | undefined> {
      if (caller.robot) {
        context.absent('storage');
        return undefined;
      }
      const part = { capability: 'storage', permission: 'of a system administrator' } as const;
      return optionally(context, part, async () => {
        const found = await harbor.get({ operation: 'statistics', path: '/statistics' }, statistic);
        if (found.total_project_count) return found.total_storage_consumption;
        context.absent('storage');
        return undefined;
      });
    },

    /** @param projects those that can be asked for one by one */
    async quotas(
      projects: readonly { readonly project_id: number; readonly name: string }[],
    ): Promise<Quota[] | undefined> {
      const permission = 'quota:list (system)';
      const found = await optionalList(
        context,
        { capability: 'quotas', permission, what: 'quotas' },
        async () => {
          const listed = await harbor.all(askedQuotas({}), quota, keyOf);
          return listed.missing === 0 ? listed : completed(listed, projects);
        },
      );
      const nobodys = found?.items.filter(({ ref }) => !ref).length;
      if (nobodys)
        context.tell(
          'quotas of no project',
          { quotas: nobodys },
          'Harbor does not say of which project some quotas are: they are left out',
        );
      return found?.items.flatMap(({ ref, hard, used }) =>
        ref
          ? [
              {
                quota: 'storage',
                project: ref.name,
                ...(used?.storage !== undefined && { used: used.storage }),
                // -1 is without limit.
                ...(hard?.storage !== undefined && hard.storage >= 0 && { limit: hard.storage }),
              },
            ]
          : [],
      );
    },

    /** The volume that Harbor's files lie on; Harbor says 0 where they lie in an object store. */
    async volume(): Promise<Quota[]> {
      const part = { capability: 'quotas', permission: 'system-volumes:read (system)' } as const;
      const found = await optionally(context, part, () =>
        harbor.get({ operation: 'volumes', path: '/systeminfo/volumes' }, volumes),
      );
      const [first] = found?.storage ?? [];
      if (!first?.total) return [];
      const { total: limit, free } = first;
      return [{ quota: 'volume', limit, ...(free !== undefined && free <= limit && { used: limit - free }) }];
    },
  };

  function askedQuotas(more: Readonly<Record<string, string>>) {
    return { operation: 'quotas', path: '/quotas', query: { reference: 'project', ...more } };
  }

  /**
   * Harbor orders quotas by the time of their creation only: of equal times its pages show some twice, and others
   * never. Those of known projects are asked for one by one.
   */
  async function completed(
    listed: Found<QuotaRow>,
    projects: readonly { readonly project_id: number; readonly name: string }[],
  ): Promise<Found<QuotaRow>> {
    const shown = new Set(listed.items.map(({ ref }) => ref?.name));
    const lost = projects.filter(({ name }) => !shown.has(name)).slice(0, quotasAtMost);
    const found = await pMap(
      lost,
      async ({ project_id, name }) => {
        const asked = askedQuotas({ reference_id: String(project_id) });
        const { items } = await harbor.all(asked, quota, keyOf);
        return items.filter(({ ref }) => ref?.name === name);
      },
      { concurrency: context.concurrency },
    );
    const items = found.flat();
    return { items: [...listed.items, ...items], missing: Math.max(0, listed.missing - items.length) };
  }
}
