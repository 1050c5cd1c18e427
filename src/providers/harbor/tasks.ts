import { z } from 'zod';
import type { JobQueue, Task } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, countedList, expected, list, optional, text } from '../../wire.ts';
import type { Harbor } from './client.ts';
import { moment, orZero } from './fields.ts';
import { optional as optionally } from './permissions.ts';
import { latestOf } from './time.ts';
import { tellOfWord } from './words.ts';

const collection = z.object({
  job_status: z.unknown().optional(),
  update_time: moment('update_time'),
});
const scanAll = z.object({
  total: expected('total', count),
  completed: expected('completed', count),
  ongoing: expected('ongoing', z.boolean()),
  metrics: optional(
    'metrics',
    z.object({ Success: count, Error: count, Stopped: count, Running: count, Pending: count }),
  ),
});
const queue = z.object({
  job_type: text,
  count: orZero('count'),
  latency: orZero('latency'),
  paused: expected('paused', z.boolean()),
});
/** A worker that waits for a job has no `job_name`. */
const workers = countedList('workers', z.object({ job_name: z.string().max(256).nullish() }));

/** How the jobs that Harbor runs by itself ended. */
export async function readTasks(harbor: Harbor, context: CollectContext): Promise<Task[]> {
  const [collected, scanned] = await Promise.all([
    optionally(context, { capability: 'tasks', permission: 'garbage-collection:list (system)' }, () =>
      harbor.first(
        { operation: 'garbage_collections', path: '/system/gc', query: { sort: '-creation_time' } },
        collection,
      ),
    ),
    optionally(context, { capability: 'tasks', permission: 'scan-all:read (system)', isOptional: true }, () =>
      harbor.get({ operation: 'scan_all', path: '/scans/all/metrics' }, scanAll),
    ),
  ]);
  return [...collectionTask(context, collected ?? []), ...(scanned ? scanAllTask(context, scanned) : [])];
}

/** The queues of the job service and its busy workers. */
export async function readJobQueues(
  harbor: Harbor,
  context: CollectContext,
): Promise<JobQueue[] | undefined> {
  const part = { capability: 'tasks', permission: 'jobservice-monitor:list (system)' } as const;
  const found = await optionally(context, part, () =>
    harbor.get({ operation: 'job_queues', path: '/jobservice/queues' }, list('job_queues', queue)),
  );
  if (!found) return undefined;
  const busy = await optionally(context, part, () =>
    harbor.get({ operation: 'workers', path: '/jobservice/pools/all/workers' }, workers),
  );
  return found.map(({ job_type, count, latency, paused }) => ({
    queue: job_type,
    size: count,
    latencySeconds: latency,
    paused,
    // A worker that cannot be understood may work on any queue.
    ...(busy?.left === 0 && {
      running: busy.items.filter(({ job_name }) => job_name === job_type).length,
    }),
  }));
}

/** https://github.com/goharbor/harbor/blob/main/src/jobservice/job/status.go */
const endings: readonly unknown[] = ['Success', 'Error', 'Stopped'];
const beforeTheEnd: readonly unknown[] = ['Pending', 'Scheduled', 'Running'];

/** @param runs newest first */
function collectionTask(context: CollectContext, runs: readonly z.infer<typeof collection>[]): Task[] {
  const last = runs.find(({ job_status }) => !beforeTheEnd.includes(job_status));
  if (!last) return [];
  if (!endings.includes(last.job_status)) {
    tellOfWord(context, 'the status of garbage collection', last.job_status);
    return [];
  }
  const worked = runs.filter(({ job_status }) => job_status === 'Success');
  if (worked.some(({ update_time }) => update_time === undefined))
    context.tell(
      'times of collections',
      {},
      'Harbor does not say when a garbage collection that worked ended',
    );
  const lastSuccessAt = latestOf(worked.map(({ update_time }) => update_time));
  return [
    {
      task: 'garbage_collection',
      up: last.job_status === 'Success',
      lastSuccessAt,
    },
  ];
}

/**
 * It worked when it ended and no scan broke; while it goes on only a broken scan tells something. One that is done with
 * all of them was seen to be called ongoing for ever.
 */
function scanAllTask(context: CollectContext, given: z.infer<typeof scanAll>): Task[] {
  const { total, completed = 0, metrics } = given;
  // None ever ran.
  if (total === 0) return [];
  if (total === undefined || !metrics) {
    tellOfWord(context, 'counts of scans', metrics);
    return [];
  }
  const { Success, Error: broken, Stopped, Running, Pending } = metrics;
  // src/server/v2.0/handler/scan_all.go: all of them are there, and those that are scheduled are in the total only.
  const told = Success + broken + Stopped + Running + Pending;
  if (told > total) {
    tellOfWord(context, 'counts of scans that do not add up to their total', total);
    return [];
  }
  const ongoing = given.ongoing !== false && completed < total;
  const failed = broken !== 0;
  return [
    {
      task: 'scan_all',
      ...((failed || !ongoing) && { up: !failed }),
      items: {
        succeeded: Success,
        failed: broken,
        stopped: Stopped,
        running: Running,
        pending: Pending + total - told,
      },
    },
  ];
}
