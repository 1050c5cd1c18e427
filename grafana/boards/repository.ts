import { severities } from '../../src/model.ts';
import type { Board } from '../frame.ts';
import { namedColours } from '../look.ts';
import { lines, type Panel, stat } from '../panels.ts';
import { byImage, counted, max, min, perMinute, selectors, since, sum, top } from '../queries.ts';
import { exporterUp, firing, uids } from '../shared.ts';
import { table } from '../table.ts';

const m = selectors({ repository: true });
const selected = 'severity=~"$severity"';
const total = (metric: string, more?: string): string => `sum(${m(metric, more)})`;

const now: readonly Panel[] = [
  exporterUp(3),
  stat({
    title: 'Critical findings',
    about: 'Of the newest tagged image; fixable ones have a fixed version, where the registry tells.',
    w: 4,
    threshold: 'none',
    queries: {
      all: total('repository_findings', 'severity="CRITICAL"'),
      fixable: total('repository_fixable_findings', 'severity="CRITICAL"'),
    },
  }),
  stat({
    title: 'Images',
    about: 'By state; a multi-platform image counts once.',
    w: 5,
    unit: 'locale',
    queries: { '{{state}}': sum('state', m('repository_images')) },
  }),
  stat({
    title: 'Tags',
    about: 'Tags in the repository.',
    w: 2,
    unit: 'locale',
    queries: { tags: total('repository_tags') },
  }),
  stat({
    title: 'Size',
    about: 'Sum of the sizes of the images; a blob that several share counts for each.',
    w: 3,
    unit: 'bytes',
    threshold: 'repositorySize',
    queries: { size: total('repository_size_bytes') },
  }),
  stat({
    title: 'Last push',
    about: 'Since the newest push; signatures, SBOMs and attestations do not count.',
    w: 2,
    unit: 's',
    queries: { ago: `min(${since(m('repository_last_push_timestamp_seconds'))})` },
  }),
  stat({
    title: 'Last pull',
    about: 'Since the newest pull, where the registry keeps pull times.',
    w: 2,
    unit: 's',
    queries: { ago: `min(${since(m('repository_last_pull_timestamp_seconds'))})` },
  }),
  stat({
    title: 'Failed pushes',
    about: 'Of the last day, as the registry tells in push events.',
    w: 3,
    threshold: 'none',
    queries: {
      failed: `round(sum(${counted(m, 'push_failures_total', '1d')}) or 0 * sum(${m('pushes_total')}))`,
    },
  }),
];

const image = (metric: string, more?: string): string => max(byImage, m(metric, more));
const newest = `-1 * topk(50, -1 * (${since(image('image_pushed_timestamp_seconds'))}))`;

const images = table({
  title: 'Newest images',
  about:
    'Those that the exporter shows one by one: the newest few, and tags of `images.tags`; the newest push first. "–": the registry does not tell.',
  w: 24,
  h: 9,
  columns: {
    Tag: { label: 'tag' },
    Digest: { label: 'digest' },
    Pushed: { expr: newest, unit: 's', width: 100 },
    Critical: { expr: image('image_findings', 'severity="CRITICAL"'), threshold: 'none', width: 80 },
    'Critical fixable': { expr: image('image_fixable_findings', 'severity="CRITICAL"'), width: 115 },
    High: { expr: image('image_findings', 'severity="HIGH"'), threshold: 'some', width: 70 },
    'High fixable': { expr: image('image_fixable_findings', 'severity="HIGH"'), width: 100 },
    'Scan age': {
      expr: since(image('image_scanned_timestamp_seconds')),
      unit: 's',
      threshold: 'scanAge',
      width: 100,
    },
    'In use': { expr: image('image_in_use'), width: 70 },
    Signature: { expr: image('image_signed'), state: 'signed', width: 100 },
    Size: { expr: image('image_size_bytes'), unit: 'bytes', width: 90 },
  },
  rows: { by: byImage, expr: `(${newest})` },
  order: { Pushed: 'up' },
});

/** Sums of a metric, the severest first: their names are in no order that a table could follow. */
const bySeverity = (metric: string): string =>
  severities
    .map(
      (severity, rank) =>
        `label_replace(sum(${m(metric, `severity="${severity}",${selected}`)}), "rank", "${rank}", "", "")`,
    )
    .join('\nor\n');

const more: readonly Panel[] = [
  table({
    title: 'Findings of the newest image',
    about: 'By severity, with those that have a fixed version.',
    w: 8,
    columns: {
      Severity: {
        label: 'rank',
        texts: Object.fromEntries(
          severities.map((text, rank) => [rank, { text, color: namedColours[text] ?? '' }]),
        ),
      },
      Findings: { expr: bySeverity('repository_findings'), unit: 'locale' },
      Fixable: { expr: bySeverity('repository_fixable_findings'), unit: 'locale' },
      'Images with findings': {
        expr: bySeverity('repository_vulnerable_images'),
        unit: 'locale',
      },
    },
    order: { Severity: 'up' },
  }),
  table({
    title: 'Practices',
    about:
      'Whether the repository follows each practice that is known of it; docs/metrics.md says what each means.',
    w: 8,
    empty: 'No practice is known of this repository',
    columns: {
      Practice: { label: 'practice' },
      State: { expr: min('practice', m('repository_practice')), state: 'followed', width: 120 },
    },
    order: { State: 'up' },
  }),
  table({
    title: 'Failed pushes by reason, last day',
    about: 'By reason, where the registry tells in push events.',
    w: 8,
    empty: 'No failed push, or the registry sends no push events',
    columns: {
      Reason: { label: 'reason' },
      Failed: {
        expr: `round(${sum('reason', counted(m, 'push_failures_total', '1d'))}) > 0`,
        width: 90,
      },
    },
    order: { Failed: 'down' },
  }),
];

const time: readonly Panel[] = [
  lines({
    title: 'Findings over time',
    about: 'Of the newest tagged image, by severity.',
    w: 12,
    queries: { '{{severity}}': sum('severity', m('repository_findings', selected)) },
  }),
  lines({
    title: 'Size over time',
    about:
      'Sum of the sizes of the images; reclaimable is what the configured retention expectation would remove.',
    w: 12,
    unit: 'bytes',
    queries: {
      size: total('repository_size_bytes'),
      reclaimable: total('repository_reclaimable_bytes'),
      archived: total('repository_archived_size_bytes'),
    },
  }),
  lines({
    title: 'Images over time',
    about: 'By state; stale ones are those that the configured retention expectation would remove.',
    w: 12,
    queries: { '{{state}}': sum('state', m('repository_images')), stale: total('repository_stale_images') },
  }),
  lines({
    title: 'Pulls and pushes',
    about: 'Per minute: pulls as the registry counts them, pushes as push events tell.',
    w: 12,
    unit: 'cpm',
    queries: {
      pulls: perMinute('', m('repository_pulls_total')),
      pushes: perMinute('', m('pushes_total')),
      'failed: {{reason}}': top(5, perMinute('reason', m('push_failures_total'))),
    },
  }),
];

const artifacts: readonly Panel[] = [
  stat({
    title: 'Artifacts beside images',
    about: 'Signatures, SBOMs, attestations, charts, and the platforms of multi-platform images.',
    w: 10,
    unit: 'locale',
    queries: { '{{kind}}': `${sum('kind', m('repository_artifacts'))} > 0` },
  }),
  stat({
    title: 'Scan status',
    about: 'Images by what became of their scan. What is not complete has no findings, and is not clean.',
    w: 8,
    unit: 'locale',
    queries: { '{{status}}': `${sum('status', m('repository_image_scans'))} > 0` },
  }),
  stat({
    title: 'Signed images',
    about: 'Images that have a signature.',
    w: 3,
    unit: 'locale',
    queries: { signed: total('repository_signed_images') },
  }),
  stat({
    title: 'Stars',
    about: 'Stars that people gave the repository.',
    w: 3,
    unit: 'locale',
    queries: { stars: total('repository_stars') },
  }),
];

/** One repository: its images, what is in them, what it takes. */
export const repository: Board = {
  uid: uids.repository,
  title: 'Repository',
  about:
    'One repository: its images with their findings, fixes, scans and use, its size, and what was pushed.',
  variables: ['provider', 'one registry', 'one repository', 'severity'],
  first: [...now, images, ...more, firing(24, 6)],
  rows: [
    { title: 'Over time', collapsed: true, panels: time },
    { title: 'Artifacts, scans, signatures', collapsed: true, panels: artifacts },
  ],
};
