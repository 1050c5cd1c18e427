import { z } from 'zod';
import type { JobQueue, Task } from '../../model.ts';
import { tellOfWord } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { newestOf } from '../../times.ts';
import { count, countedList, expected, list, optional, text } from '../../wire.ts';
import type { Harbor } from './client.ts';
import { moment, orZero, word } from './fields.ts';
import { optionally } from './optional-parts.ts';

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
const workers = countedList('workers', z.object({ job_name: word.nullish() }));

/** How the jobs that Harbor runs by itself ended. */
export async function readTasks(harbor: Harbor, context: CollectContext): Promise<Task[]> {
  const [collections, scans] = await Promise.all([
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
  return [...collectionTask(context, collections ?? []), ...(scans ? scanAllTask(context, scans) : [])];
}

/** The queues of the job service and its busy workers. */
export async function readJobQueues(
  harbor: Harbor,
  context: CollectContext,
): Promise<JobQueue[] | undefined> {
  const part = { capability: 'tasks', permission: 'jobservice-monitor:list (system)' } as const;
  const queues = await optionally(context, part, () =>
    harbor.get({ operation: 'job_queues', path: '/jobservice/queues' }, list('job_queues', queue)),
  );
  const busy =
    queues &&
    (await optionally(context, part, () =>
      harbor.get({ operation: 'workers', path: '/jobservice/pools/all/workers' }, workers),
    ));
  // A worker that cannot be understood may work on any queue.
  const running = (queue: string) =>
    busy?.left === 0 ? busy.items.filter(({ job_name }) => job_name === queue).length : undefined;
  return queues?.map(({ job_type: queue, count: size, latency: latencySeconds, paused }) => ({
    queue,
    size,
    latencySeconds,
    paused,
    running: running(queue),
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
  const successes = runs.filter(({ job_status }) => job_status === 'Success');
  if (successes.some(({ update_time }) => update_time === undefined))
    context.tell(
      'times of collections',
      {},
      'Harbor does not say when a garbage collection that worked ended',
    );
  return [
    {
      task: 'garbage_collection',
      up: last.job_status === 'Success',
      lastSuccessAt: newestOf(successes.map(({ update_time }) => update_time)),
    },
  ];
}

/**
 * It worked when it ended and no scan failed; while it goes on only a failed scan tells something. A run that is done
 * with all artifacts was seen to be called ongoing for ever.
 */
function scanAllTask(context: CollectContext, run: z.infer<typeof scanAll>): Task[] {
  const { total, completed = 0, ongoing, metrics } = run;
  // None ever ran.
  if (total === 0) return [];
  if (total === undefined || !metrics) {
    tellOfWord(context, 'counts of scans', metrics);
    return [];
  }
  const { Success: succeeded, Error: failed, Stopped: stopped, Running: running, Pending } = metrics;
  // src/server/v2.0/handler/scan_all.go: all five are there; scans that are scheduled are in the total only.
  const counted = succeeded + failed + stopped + running + Pending;
  if (counted > total) {
    tellOfWord(context, 'counts of scans that do not add up to their total', total);
    return [];
  }
  const isOngoing = ongoing !== false && completed < total;
  const pending = Pending + total - counted;
  return [
    {
      task: 'scan_all',
      up: failed === 0 && isOngoing ? undefined : failed === 0,
      items: { succeeded, failed, stopped, running, pending },
    },
  ];
}
