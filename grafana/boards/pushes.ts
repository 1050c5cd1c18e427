import type { Board } from '../frame.ts';
import { lines, type Panel, stat, toBoard } from '../panels.ts';
import { byRegistry, byRepository, counted, min, selectors, sum, top } from '../queries.ts';
import { eventSources, exporterUp, firing, repositoryColumns, uids } from '../shared.ts';
import { table } from '../table.ts';

const m = selectors();
const ofDay = (metric: string): string => `increase(${m(metric, '', '[1d]')})`;
const toRegistry = toBoard('Registry', uids.registry, { registry: 'Registry' });
const registry = { label: 'registry', links: [toRegistry] } as const;

const summary: readonly Panel[] = [
  exporterUp(4),
  stat({
    title: 'Failed pushes, last hour',
    about: 'As registries tell in push events; "No data": no registry tells of pushes.',
    w: 4,
    threshold: 'some',
    queries: {
      failed: `round(sum(${counted(m, 'all_push_failures_total', '1h')}) or 0 * sum(${m('all_pushes_total')}))`,
    },
  }),
  stat({
    title: 'Pushes, last day',
    about:
      'Failed ones included; a multi-platform image counts once for each of its manifests where the registry tells of each.',
    w: 4,
    queries: { pushes: `round(sum(${counted(m, 'all_pushes_total', '1d')}))` },
  }),
  stat({
    title: 'Missed events, last day',
    about:
      'Pushes that polls found and no event told of, in repositories of which events told before: a source is silent.',
    w: 4,
    threshold: 'some',
    queries: { missed: `round(sum(${ofDay('missed_push_events_total')}))` },
  }),
  stat({
    title: 'Sources that are asked',
    about:
      'Whether queues, CloudTrail, Azure Monitor or metrics of registries could be read; the worst of each kind. "No data": none is configured.',
    w: 8,
    state: 'works',
    queries: { '{{source}}': min('source', m('events_source_up')) },
  }),
];

const failures = table({
  title: 'Failed pushes, last day',
  about:
    'By repository and reason, the 50 with the most. Without a repository: what a vendor counts for the registry as a whole, and names that no listing has shown.',
  w: 14,
  h: 10,
  empty: 'No failed push within a day, or no registry tells of them',
  columns: {
    ...repositoryColumns,
    Reason: { label: 'reason', width: 130 },
    Failed: {
      expr: `round(${top(50, sum(`${byRepository}, reason`, counted(m, 'push_failures_total', '1d')))}) > 0`,
      unit: 'locale',
      width: 80,
    },
  },
  order: { Failed: 'down' },
});

const byReason = lines({
  title: 'Failed pushes by reason',
  about: 'Within an hour each.',
  w: 10,
  h: 10,
  queries: { '{{reason}}': `${sum('reason', counted(m, 'all_push_failures_total', '1h'))} > 0` },
});

const rates: readonly Panel[] = [
  lines({
    title: 'Pushes by registry',
    about: 'Within an hour each, the ten registries with the most.',
    w: 12,
    queries: {
      '{{registry}}': `${top(10, sum('registry', counted(m, 'all_pushes_total', '1h')))} > 0`,
    },
  }),
  lines({
    title: 'Missed events by registry',
    about: 'Within an hour; a source that is silent goes on missing.',
    w: 12,
    queries: {
      '{{registry}}': `${top(10, sum('registry', `increase(${m('missed_push_events_total', '', '[1h]')})`))} > 0`,
    },
  }),
];

const sources: readonly Panel[] = [
  eventSources(m, 12, 8),
  table({
    title: 'Received events, last day',
    about:
      'By registry, source and outcome, the 50 with the most. `unauthorized`: the token is wrong on one side; `invalid`: could not be understood.',
    w: 12,
    h: 8,
    empty: 'No event within a day',
    columns: {
      Registry: registry,
      Source: { label: 'source' },
      Outcome: { label: 'outcome', width: 130 },
      Events: {
        expr: `round(${top(50, sum(`${byRegistry}, source, outcome`, ofDay('events_total')))}) > 0`,
        unit: 'locale',
        width: 90,
      },
    },
    order: { Events: 'down' },
  }),
];

/** Which pushes fail, where and why, and does anything tell of them. */
export const pushes: Board = {
  uid: uids.pushes,
  title: 'Pushes',
  about: 'Which pushes fail, where and why; how many there are; and whether what tells of them still speaks.',
  variables: ['provider', 'registry'],
  first: [...summary, failures, byReason, ...rates, ...sources, firing(24, 6)],
};
