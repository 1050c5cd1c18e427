import { z } from 'zod';
import type { JobQueue, Task } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Harbor } from './client.ts';
import { optional } from './permissions.ts';
import { latestOf, timeOf } from './time.ts';

const collection = z.object({
  job_status: z.string().nullish(),
  creation_time: z.string().nullish(),
  update_time: z.string().nullish(),
});
const scanAll = z.object({
  total: z.number().nullish(),
  ongoing: z.boolean().nullish(),
  metrics: z.record(z.string(), z.number()).nullish(),
});
const queue = z.object({
  job_type: z.string(),
  count: z.number().nullish(),
  latency: z.number().nullish(),
  paused: z.boolean().nullish(),
});
const worker = z.object({ job_name: z.string().nullish() });

/** How the jobs that Harbor runs by itself ended. */
export async function readTasks(harbor: Harbor, context: CollectContext): Promise<Task[]> {
  const [collected, scanned] = await Promise.all([
    optional(context, { capability: 'tasks', permission: 'garbage-collection:list (system)' }, () =>
      harbor.get(
        {
          operation: 'garbage_collections',
          path: '/system/gc',
          query: { sort: '-creation_time', page: '1', page_size: '10' },
        },
        z.array(collection),
      ),
    ),
    optional(context, { capability: 'tasks', permission: 'scan-all:read (system)' }, () =>
      harbor.get({ operation: 'scan_all', path: '/scans/all/metrics' }, scanAll),
    ),
  ]);
  return [...collectionTask(collected ?? []), ...(scanned ? scanAllTask(scanned) : [])];
}

/** The queues of the job service and its busy workers. */
export async function readJobQueues(
  harbor: Harbor,
  context: CollectContext,
): Promise<JobQueue[] | undefined> {
  const part = { capability: 'tasks', permission: 'jobservice-monitor:list (system)' } as const;
  const found = await optional(context, part, () =>
    harbor.get({ operation: 'job_queues', path: '/jobservice/queues' }, z.array(queue)),
  );
  if (!found) return undefined;
  const workers = await optional(context, part, () =>
    harbor.get({ operation: 'workers', path: '/jobservice/pools/all/workers' }, z.array(worker)),
  );
  return found.map(({ job_type, count, latency, paused }) => ({
    queue: job_type,
    ...(typeof count === 'number' && { size: count }),
    ...(typeof latency === 'number' && { latencySeconds: latency }),
    ...(typeof paused === 'boolean' && { paused }),
    ...(workers && { running: workers.filter(({ job_name }) => job_name === job_type).length }),
  }));
}

/** https://github.com/goharbor/harbor/blob/main/src/jobservice/job/status.go */
const endings = ['Success', 'Error', 'Stopped'];

function collectionTask(runs: readonly z.infer<typeof collection>[]): Task[] {
  const byAge = runs.toSorted((a, b) => (timeOf(b.creation_time) ?? 0) - (timeOf(a.creation_time) ?? 0));
  const last = byAge.find(({ job_status }) => endings.includes(job_status ?? ''));
  if (!last) return [];
  const worked = byAge.filter(({ job_status }) => job_status === 'Success');
  const lastSuccessAt = latestOf(worked.map(({ update_time }) => timeOf(update_time)));
  return [
    {
      task: 'garbage_collection',
      up: last.job_status === 'Success',
      ...(lastSuccessAt !== undefined && { lastSuccessAt }),
    },
  ];
}

/** It worked when it ended and no scan broke; while it goes on only a broken scan tells something. */
function scanAllTask({ total, ongoing, metrics }: z.infer<typeof scanAll>): Task[] {
  if (!total || !metrics) return [];
  const of = (word: string) => metrics[word] ?? 0;
  const failed = of('Error') > 0;
  return [
    {
      task: 'scan_all',
      ...((failed || !ongoing) && { up: !failed }),
      items: {
        succeeded: of('Success'),
        failed: of('Error'),
        stopped: of('Stopped'),
        running: of('Running'),
        pending: of('Pending') + of('Scheduled'),
      },
    },
  ];
}
