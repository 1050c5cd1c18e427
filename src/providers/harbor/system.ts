import { z } from 'zod';
import type { RegistryFacts } from '../../model.ts';
import { tellOfWord } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { count, expected, list, optional, text } from '../../wire.ts';
import type { Caller, Harbor } from './client.ts';
import { word } from './fields.ts';
import { optionalList, optionally } from './optional-parts.ts';

type Component = NonNullable<RegistryFacts['components']>[number];

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
const endpoint = z.object({ id: optional('id', count), name: text, status: optional('status', word) });

/** Whether a part works; a word that says neither is told. */
function stateOf(context: CollectContext, component: string, status: string | undefined): Component[] {
  if (status === 'healthy' || status === 'unhealthy') return [{ component, up: status === 'healthy' }];
  tellOfWord(context, `the health of ${component}`, status);
  return [];
}

/** Anybody may ask; the version is told to those whose credentials are right. */
export async function readInfo(
  harbor: Harbor,
  context: CollectContext,
): Promise<Pick<RegistryFacts, 'version' | 'settings'>> {
  const answer = await optionally(context, { capability: 'health', permission: 'any account' }, () =>
    harbor.get({ operation: 'systeminfo', path: '/systeminfo' }, info),
  );
  if (!answer) return {};
  const { harbor_version: version, ...flags } = answer;
  const settings = Object.entries(flags).flatMap(([setting, on]) =>
    typeof on === 'boolean' ? [{ setting, on }] : [],
  );
  return { settings, version: version || undefined };
}

export async function readComponents(harbor: Harbor, context: CollectContext): Promise<Component[]> {
  const answer = await optionally(context, { capability: 'health', permission: 'none' }, () =>
    harbor.get({ operation: 'health', path: '/health' }, health),
  );
  if (!answer) return [];
  const all = [{ name: 'overall', status: answer.status }, ...answer.components];
  return all.flatMap(({ name, status }) => stateOf(context, name, status));
}

/** Registries that replication and proxy caches reach. */
export async function readEndpoints(harbor: Harbor, context: CollectContext): Promise<Component[]> {
  const registries = await optionalList(
    context,
    { capability: 'replication', permission: 'registry:list (system)', what: 'registries' },
    () =>
      harbor.all(
        // Without an order pages may repeat and lose rows.
        { operation: 'registries', path: '/registries', query: { sort: 'id' } },
        endpoint,
        ({ id, name }) => id ?? name,
      ),
  );
  return (registries?.items ?? []).flatMap(({ name, status }) =>
    stateOf(context, `registry ${name}`, status),
  );
}

/** Told to system administrators only, to whom alone the number of all projects is not 0. */
export async function readStorageBytes(
  harbor: Harbor,
  context: CollectContext,
  caller: Caller,
): Promise<number | undefined> {
  const part = { capability: 'storage', permission: 'of a system administrator' } as const;
  const answer = caller.robot
    ? { total_project_count: 0, total_storage_consumption: undefined }
    : await optionally(context, part, () =>
        harbor.get({ operation: 'statistics', path: '/statistics' }, statistic),
      );
  if (!answer) return undefined;
  if (answer.total_project_count) return answer.total_storage_consumption;
  context.absent('storage');
  return undefined;
}

/** Whether a version such as `v2.12.0-5d4e6a2` is 2.`minor` or later; undefined where it is unknown. */
export function isSince(version: string | undefined, minor: number): boolean | undefined {
  const [, first, second] = /^v?(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (first === undefined) return undefined;
  return Number(first) > 2 || (Number(first) === 2 && Number(second) >= minor);
}
