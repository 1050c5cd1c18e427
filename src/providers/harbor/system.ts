import { z } from 'zod';
import type { Quota, RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Scanners } from './artifacts.ts';
import type { Caller, Harbor } from './client.ts';
import { optional } from './permissions.ts';

type Component = NonNullable<RegistryFacts['components']>[number];

const info = z.object({
  harbor_version: z.string().nullish(),
  read_only: z.boolean().nullish(),
  self_registration: z.boolean().nullish(),
  has_ca_root: z.boolean().nullish(),
  notification_enable: z.boolean().nullish(),
});

const health = z.object({
  status: z.string().nullish(),
  components: z.array(z.object({ name: z.string(), status: z.string() })),
});

const statistic = z.object({
  total_project_count: z.number().nullish(),
  total_storage_consumption: z.number().nullish(),
});

const bytes = z.object({ storage: z.number().nullish() }).nullish();
const quota = z.object({
  id: z.number().nullish(),
  ref: z.object({ name: z.string().nullish() }).nullish(),
  hard: bytes,
  used: bytes,
});

const volumes = z.object({
  storage: z.array(z.object({ total: z.number().nullish(), free: z.number().nullish() })).nullish(),
});
const scanner = z.object({
  uuid: z.string().nullish(),
  name: z.string(),
  disabled: z.boolean().nullish(),
  health: z.string().nullish(),
  capabilities: z.record(z.string(), z.unknown()).nullish(),
});
const endpoint = z.object({
  id: z.number().nullish(),
  name: z.string(),
  status: z.string().nullish(),
});
/** Reads what concerns Harbor as a whole. Each part may fail alone. */
export function createSystem(harbor: Harbor, context: CollectContext) {
  /** Since 2.11 the list of scanners says what each can do, if it answers; before, its description is asked for. */
  async function healthOf({ uuid, health: word, capabilities }: z.infer<typeof scanner>) {
    if (word) return word === 'healthy';
    if (capabilities && Object.keys(capabilities).length > 0) return true;
    if (!uuid) return undefined;
    const path = `/scanners/${encodeURIComponent(uuid)}/metadata`;
    return optional(context, { capability: 'health', permission: 'scanner:read (system)' }, () =>
      harbor.works({ operation: 'scanner', path }),
    );
  }

  return {
    /** Anybody may ask; the version is told to those whose credentials are good. */
    async info(): Promise<Pick<RegistryFacts, 'version' | 'settings'>> {
      const found = await optional(context, { capability: 'health', permission: 'any account' }, () =>
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
      const found = await optional(context, { capability: 'health', permission: 'none' }, () =>
        harbor.get({ operation: 'health', path: '/health' }, health),
      );
      if (!found) return undefined;
      return [
        ...(found.status ? [{ component: 'overall', up: found.status === 'healthy' }] : []),
        ...found.components.map(({ name, status }) => ({ component: name, up: status === 'healthy' })),
      ];
    },

    async scanners(): Promise<{ readonly scanners: Scanners; readonly components: Component[] }> {
      const part = { capability: 'health', permission: 'scanner:list (system)' } as const;
      const found = await optional(context, part, () =>
        harbor.all({ operation: 'scanners', path: '/scanners' }, scanner, ({ uuid, name }) => uuid ?? name),
      );
      if (!found) return { scanners: 'unknown', components: [] };
      const used = found.filter(({ disabled }) => !disabled);
      const states = await Promise.all(
        used.map(async (one) => ({ component: `scanner ${one.name}`, up: await healthOf(one) })),
      );
      const ups = states.map(({ up }) => up);
      return {
        scanners:
          used.length === 0
            ? 'none'
            : ups.includes(false)
              ? 'unhealthy'
              : ups.includes(undefined)
                ? 'unknown'
                : 'healthy',
        components: states.flatMap(({ component, up }) => (up === undefined ? [] : [{ component, up }])),
      };
    },

    /** Registries that replication and proxy caches reach. */
    async endpoints(): Promise<Component[]> {
      const part = { capability: 'replication', permission: 'registry:list (system)' } as const;
      const found = await optional(context, part, () =>
        harbor.all({ operation: 'registries', path: '/registries' }, endpoint, ({ id, name }) => id ?? name),
      );
      return (found ?? []).flatMap(({ name, status }) =>
        status === 'healthy' || status === 'unhealthy'
          ? [{ component: `registry ${name}`, up: status === 'healthy' }]
          : [],
      );
    },

    /** Told to system administrators only, to whom alone the number of all projects is not 0. */
    async storageBytes(caller: Caller): Promise<number | undefined> {
      if (caller.robot) {
        context.absent('storage');
        return undefined;
      }
      const part = { capability: 'storage', permission: 'of a system administrator' } as const;
      return optional(context, part, async () => {
        const found = await harbor.get({ operation: 'statistics', path: '/statistics' }, statistic);
        if (found.total_project_count) return found.total_storage_consumption ?? undefined;
        context.absent('storage');
        return undefined;
      });
    },

    async quotas(): Promise<Quota[] | undefined> {
      const part = { capability: 'quotas', permission: 'quota:list (system)' } as const;
      const found = await optional(context, part, () =>
        harbor.all(
          { operation: 'quotas', path: '/quotas', query: { reference: 'project' } },
          quota,
          (one) => one.id ?? one,
        ),
      );
      return found?.flatMap(({ ref, hard, used }) =>
        ref?.name
          ? [
              {
                quota: 'storage',
                project: ref.name,
                ...(typeof used?.storage === 'number' && { used: used.storage }),
                // -1 is without limit.
                ...(typeof hard?.storage === 'number' && hard.storage >= 0 && { limit: hard.storage }),
              },
            ]
          : [],
      );
    },

    /** The volume that Harbor's files lie on; Harbor says 0 where they lie in an object store. */
    async volume(): Promise<Quota[]> {
      const part = { capability: 'quotas', permission: 'system-volumes:read (system)' } as const;
      const found = await optional(context, part, () =>
        harbor.get({ operation: 'volumes', path: '/systeminfo/volumes' }, volumes),
      );
      const [first] = found?.storage ?? [];
      if (!first?.total) return [];
      const { total: limit, free } = first;
      return [{ quota: 'volume', limit, ...(typeof free === 'number' && { used: limit - free }) }];
    },
  };
}
