import pMap from 'p-map';
import { z } from 'zod';
import type { Replication } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, optional, text } from '../../wire.ts';
import type { Harbor } from './client.ts';
import { always, moment } from './fields.ts';
import { every, matchesPattern, some } from './patterns.ts';
import { optionalList, optional as optionally } from './permissions.ts';
import { latestOf } from './time.ts';

const remote = optional('registry', z.object({ id: optional('id', count) }));

const policy = z.object({
  id: count,
  name: text,
  // Go leaves it out where it is false.
  enabled: z.boolean().nullish(),
  dest_registry: remote,
  // What selects repositories must be readable: nothing there is everything.
  filters: z.array(z.object({ type: z.string().max(64).nullish(), value: z.unknown() })).nullish(),
});
type Policy = z.infer<typeof policy>;

const execution = z.object({
  status: z.unknown().optional(),
  end_time: moment('end_time'),
  failed: always('failed', count),
  succeed: always('succeed', count),
  in_progress: always('in_progress', count),
  stopped: always('stopped', count),
});

export interface Replications {
  readonly replications: readonly Replication[];
  /** Whether something copies the repository, `project/path`, to another registry; undefined where that is unknown. */
  copies(repository: string): boolean | undefined;
}

/** Enabled policies, and how their last runs ended; after a push event the policies alone. */
export async function readReplications(
  harbor: Harbor,
  context: CollectContext,
): Promise<Replications | undefined> {
  const permission = 'replication-policy:list (system)';
  const policies = await optionalList(
    context,
    { capability: 'replication', permission, what: 'replication policies' },
    () =>
      harbor.all(
        // Harbor's own order is by the time of creation, and equal ones change places between pages.
        { operation: 'replication_policies', path: '/replication/policies', query: { sort: 'id' } },
        policy,
        ({ id }) => id,
      ),
  );
  if (!policies) return undefined;
  const enabled = policies.items.filter((one) => one.enabled === true);
  const replications = await pMap(
    context.only ? [] : enabled,
    async (one) => {
      const part = { capability: 'replication', permission: 'replication:list (system)' } as const;
      const runs = await optionally(context, part, () => readRuns(harbor, one));
      return { destination: one.name, ...runs };
    },
    { concurrency: context.concurrency },
  );
  return {
    replications,
    copies(repository) {
      const found = some(enabled, (one) => every([isPush(one), takes(one, repository)], (is) => is));
      return found === false && policies.missing > 0 ? undefined : found;
    },
  };
}

/** A policy either pushes to another registry or pulls from one; the registry that is Harbor itself has the id 0. */
const isPush = ({ dest_registry: to }: Policy): boolean | undefined =>
  to?.id === undefined ? undefined : to.id > 0;

/** https://goharbor.io/docs/latest/administration/configuring-replication/create-replication-rules/ */
const takes = ({ filters }: Policy, repository: string): boolean | undefined =>
  every(
    (filters ?? []).filter(({ type }) => type === 'name'),
    ({ value }) =>
      value === undefined || value === null || typeof value === 'string'
        ? matchesPattern(value, repository)
        : undefined,
  );

/** https://github.com/goharbor/harbor/blob/main/src/server/v2.0/handler/replication.go */
const endings: readonly unknown[] = ['Succeed', 'Failed', 'Stopped'];

async function readRuns(harbor: Harbor, one: Policy): Promise<Omit<Replication, 'destination'>> {
  const read = (query: Record<string, string>) =>
    harbor.get(
      {
        operation: 'replication_executions',
        path: '/replication/executions',
        query: { policy_id: String(one.id), sort: '-start_time', page: '1', ...query },
      },
      z.array(execution),
    );
  const runs = await read({ page_size: '10' });
  const [newest] = runs;
  if (!newest) return {};
  const ended = runs.find(({ status }) => status !== 'InProgress');
  const worked = runs.filter(({ status }) => status === 'Succeed');
  if (worked.length === 0) worked.push(...(await read({ page_size: '1', status: 'Succeed' })));
  const lastSuccessAt = latestOf(
    worked.filter(({ status }) => status === 'Succeed').map(({ end_time }) => end_time),
  );
  // What is still going on has not failed yet, and tells how much is left; what ended tells how it ended.
  const told = ended ?? newest;
  const known = (count: number | undefined, name: string) => (count === undefined ? {} : { [name]: count });
  return {
    ...(ended && endings.includes(ended.status) && { up: ended.status === 'Succeed' }),
    ...known(newest.in_progress, 'pendingImages'),
    ...known(told.failed, 'failedImages'),
    ...known(told.succeed, 'succeededImages'),
    ...known(told.stopped, 'stoppedImages'),
    ...(lastSuccessAt !== undefined && { lastSuccessAt }),
  };
}
