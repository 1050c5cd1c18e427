import type { Board } from '../frame.ts';
import { lines, type Panel, stat, toBoard } from '../panels.ts';
import { among, byRegistry, byRepository, max, min, orNotTold, selectors, sum, top } from '../queries.ts';
import { exporterUp, firing, uids } from '../shared.ts';
import { table } from '../table.ts';

const m = selectors({ repository: true });

const byQuota = `${byRegistry}, quota, project`;
const used = max(byQuota, m('quota_used'));
const limit = max(byQuota, `${m('quota_limit')} > 0`);
/** Quotas of storage are bytes, the others counts: a column has one unit. */
const bytes = 'quota=~"storage|volume"';
const counts = 'quota!~"storage|volume"';

/** What was used six hours ago: two samples are no trend. */
const before = (kind: string): string =>
  max(byQuota, `max_over_time(${m('quota_used', kind, '[10m] offset 6h')})`);

/** Seconds until a quota is full by the growth of the last day; nothing where it does not grow. */
const fullIn = (kind: string): string =>
  `(clamp_min(${max(byQuota, `${m('quota_limit', kind)} > 0`)} - ${max(byQuota, m('quota_used', kind))}, 0) / (${max(byQuota, `deriv(${m('quota_used', kind, '[1d]')})`)} > 0) and on (${byQuota}) ${before(kind)})`;

function quotas(title: string, about: string, kind: string, unit: string): Panel {
  const [usedOf, limitOf] = [
    max(byQuota, m('quota_used', kind)),
    max(byQuota, `${m('quota_limit', kind)} > 0`),
  ];
  return table({
    title,
    about: `${about} The fullest first, 30 at most. "Full in" goes on with the growth of the last day, of which six hours have to be known.`,
    w: 12,
    empty: 'No quota of this kind is known',
    columns: {
      Registry: { label: 'registry', links: [toBoard('Registry', uids.registry, { registry: 'Registry' })] },
      Project: { label: 'project' },
      Quota: { label: 'quota' },
      'Used share': { expr: `${usedOf} / ${limitOf}`, unit: 'percentunit', threshold: 'quota', width: 100 },
      Used: { expr: usedOf, unit, width: 90 },
      Limit: { expr: limitOf, unit, width: 90 },
      'Full in': {
        expr: `${fullIn(kind)}
or on (${byQuota})
-1 * (${usedOf} >= bool 0 unless on (${byQuota}) ${before(kind)})`,
        state: 'forecast',
        unit: 's',
        threshold: 'quotaFull',
        without: 'not growing',
        width: 100,
      },
    },
    rows: { by: byQuota, expr: top(30, `${usedOf} / ${limitOf}`) },
    order: { 'Used share': 'down' },
  });
}

const summary: readonly Panel[] = [
  exporterUp(3),
  stat({
    title: 'Fullest quota',
    about: 'As a share of its limit, of all selected registries and projects.',
    w: 4,
    unit: 'percentunit',
    threshold: 'quota',
    queries: { used: orNotTold(m, `max(${used} / ${limit})`) },
    state: 'told',
  }),
  stat({
    title: 'Next quota to be full',
    about:
      'If each goes on growing as it did in the last day. "No data": none grows; "Too early": none is known for six hours.',
    w: 4,
    unit: 's',
    threshold: 'quotaFull',
    queries: {
      in: `min(${fullIn('')})
or on ()
-1 * (count(${used}) > bool 0 unless on () ${before('')})`,
    },
    state: 'forecast',
  }),
  stat({
    title: 'Stored',
    about: 'As registries account it: what images share counts once. Not every registry tells.',
    w: 3,
    unit: 'bytes',
    queries: { stored: `sum(${m('storage_bytes')})` },
  }),
  stat({
    title: 'Reclaimable',
    about:
      'What the retention expectation of the configuration would remove: what to do first when a quota fills.',
    w: 4,
    unit: 'bytes',
    queries: { bytes: `sum(${m('repository_reclaimable_bytes')})` },
  }),
  stat({
    title: 'Images to remove',
    about: 'Images that the retention expectation of the configuration would remove.',
    w: 3,
    unit: 'locale',
    queries: { images: `sum(${m('repository_stale_images')})` },
  }),
  stat({
    title: 'Pulls left',
    about: 'Of the pull limit, where a registry sends one; the least of all.',
    w: 3,
    unit: 'percentunit',
    threshold: 'pullsLeft',
    queries: { left: orNotTold(m, `min(${m('pull_remaining')} / (${m('pull_limit')} > 0))`) },
    state: 'told',
  }),
];

const largest = (metric: string, more = ''): string =>
  max(byRepository, m(metric, among('repository', 'largest'), more));
const fullest = (metric: string, more = ''): string =>
  max(byRepository, m(metric, `${among('repository', 'most_images')}${more}`));
const toRepository = toBoard('Repository', uids.repository, {
  registry: 'Registry',
  repository: 'Repository',
});

const tables: readonly Panel[] = [
  quotas('Storage quotas', 'Storage of registries and projects.', bytes, 'bytes'),
  quotas(
    'Other quotas',
    'Repositories, images per repository (the fullest one), webhooks and the like.',
    counts,
    'locale',
  ),
  table({
    title: 'Largest repositories',
    about:
      'The 20 largest by the sum of the sizes of their images, with what their size was a day ago, and what the retention expectation would remove.',
    w: 14,
    h: 10,
    columns: {
      Registry: { label: 'registry' },
      Repository: { label: 'repository', links: [toRepository] },
      Size: {
        expr: largest('repository_size_bytes'),
        unit: 'bytes',
        threshold: 'repositorySize',
        width: 90,
      },
      Yesterday: {
        expr: largest('repository_size_bytes', ' offset 1d'),
        unit: 'bytes',
        width: 90,
      },
      Reclaimable: { expr: largest('repository_reclaimable_bytes'), unit: 'bytes', width: 100 },
    },
    difference: { name: 'Growth', of: 'Size', and: 'Yesterday', unit: 'bytes' },
    rows: { by: byRepository, expr: top(20, largest('repository_size_bytes')) },
    order: { Size: 'down' },
  }),
  table({
    title: 'Registry Storage',
    about:
      'Stored: as the registry accounts it, what images share counts once. Images: the sum of the sizes of all images. Archived storage is in neither.',
    w: 10,
    h: 10,
    columns: {
      Registry: { label: 'registry', links: [toBoard('Registry', uids.registry, { registry: 'Registry' })] },
      Stored: { expr: max(byRegistry, m('storage_bytes')), unit: 'bytes', width: 90 },
      Images: { expr: sum(byRegistry, m('repository_size_bytes')), unit: 'bytes', width: 90 },
      Reclaimable: { expr: sum(byRegistry, m('repository_reclaimable_bytes')), unit: 'bytes', width: 100 },
      Archived: { expr: sum(byRegistry, m('repository_archived_size_bytes')), unit: 'bytes', width: 90 },
    },
    order: { Stored: 'down', Images: 'down' },
  }),
  table({
    title: 'Images by Repository',
    about: 'The 20 repositories with the most tagged images; a multi-platform image counts once.',
    w: 14,
    h: 9,
    columns: {
      Registry: { label: 'registry' },
      Repository: { label: 'repository', links: [toRepository] },
      Tagged: { expr: fullest('repository_images', ',state="tagged"'), unit: 'locale' },
      Untagged: { expr: fullest('repository_images', ',state="untagged"'), unit: 'locale' },
      'To remove': { expr: fullest('repository_stale_images'), unit: 'locale' },
    },
    rows: {
      by: byRepository,
      expr: top(20, fullest('repository_images', ',state="tagged"')),
    },
    order: { Tagged: 'down' },
  }),
  table({
    title: 'Pull limits',
    about: 'Where a registry sends one; who it counts the pulls for, and over how long.',
    w: 10,
    h: 9,
    empty: 'No registry sends a pull limit',
    columns: {
      Registry: { label: 'registry' },
      'Counted for': { label: 'source' },
      Left: { expr: min(`${byRegistry}, source`, m('pull_remaining')), unit: 'locale' },
      'Left share': {
        expr: min(`${byRegistry}, source`, `${m('pull_remaining')} / (${m('pull_limit')} > 0)`),
        unit: 'percentunit',
        threshold: 'pullsLeft',
      },
      Window: { expr: max(`${byRegistry}, source`, m('pull_limit_window_seconds')), unit: 's' },
    },
    order: { 'Left share': 'up' },
  }),
];

const time: readonly Panel[] = [
  lines({
    title: 'Quotas used',
    about: 'Share of the limit, the ten fullest.',
    w: 12,
    unit: 'percentunit',
    max: 1,
    threshold: 'quota',
    queries: { '{{registry}} {{project}} {{quota}}': top(10, `${used} / ${limit}`) },
  }),
  lines({
    title: 'Stored over time',
    about: 'As registries account it, the ten largest.',
    w: 12,
    unit: 'bytes',
    queries: { '{{registry}}': top(10, max('registry', m('storage_bytes'))) },
  }),
  lines({
    title: 'Pulls left over time',
    about: 'Share of the pull limit, by whom the registry counts the pulls for.',
    w: 12,
    unit: 'percentunit',
    max: 1,
    threshold: 'pullsLeft',
    queries: {
      '{{registry}} {{source}}': `bottomk(10, ${min('registry, source', `${m('pull_remaining')} / (${m('pull_limit')} > 0)`)})`,
    },
  }),
  lines({
    title: 'Repositories over time',
    about: 'Repositories by registry, the ten with the most.',
    w: 12,
    queries: { '{{registry}}': top(10, max('registry', m('repositories'))) },
  }),
];

/** What fills the quotas, when are they full, what would free them. */
export const capacity: Board = {
  uid: uids.capacity,
  title: 'Capacity',
  about:
    'What fills the quotas and when they are full, what the images take, what could be removed, and pull limits.',
  variables: ['provider', 'registry', 'repository'],
  chosen: {
    largest: { expr: top(20, m('repository_size_bytes')), label: 'repository' },
    most_images: { expr: top(20, m('repository_images', 'state="tagged"')), label: 'repository' },
  },
  first: [...summary, ...tables, firing(24, 6)],
  rows: [{ title: 'Over time', collapsed: true, panels: time }],
};
