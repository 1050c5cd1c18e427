import type { Board } from '../frame.ts';
import { type Panel, stat } from '../panels.ts';
import { among, byImage, byRepository, max, selectors, since, sum, top } from '../queries.ts';
import { exporterUp, firing, repositoryColumns, uids } from '../shared.ts';
import { table } from '../table.ts';

const m = selectors({ repository: true });
/** Of repositories that are chosen already: `.*` would be compared with the name of each repository that there is. */
const ofChosen = selectors();
const byUse = `${byRepository}, source`;

/** How many rows each kind of trouble may fill: running images with critical findings are there whatever the others have. */
const each = 15;
const critical = `${m('repository_in_use_vulnerable_images', 'severity="CRITICAL"')} > 0`;
const missing = `${m('repository_in_use_images', 'state="missing"')} > 0`;
const unscanned = `${m('repository_in_use_unscanned_images')} > 0`;
const stale = `${m('repository_in_use_stale_images')} > 0`;

/** Repositories of which single images are shown, so that no query reads all images of a fleet. */
const chosen = {
  running_critical: { expr: top(each, critical), label: 'repository' },
  running_high: {
    expr: top(each, `${m('repository_in_use_vulnerable_images', 'severity="HIGH"')} > 0`),
    label: 'repository',
  },
} as const;
const ofWorst = among('repository', ...Object.keys(chosen));

const use = (metric: string, more = ''): string => max(byUse, m(metric, more));
const image = (metric: string, more = ''): string => max(byImage, ofChosen(metric, `${ofWorst}${more}`));
const running = `${max(byImage, ofChosen('image_in_use', ofWorst))} > 0`;
/** Of images that run, the first of each severity. */
const worstImages = `(\n  ${['CRITICAL', 'HIGH']
  .map((severity) =>
    top(25, `(${image('image_findings', `,severity="${severity}"`)} > 0) and on (${byImage}) (${running})`),
  )
  .join('\n  or\n  ')}\n)`;

const bad = { threshold: 'none', unit: 'locale' } as const;
const look = { threshold: 'some', unit: 'locale' } as const;

/** The sum over all repositories; 0 where what runs is known and none is so. */
const total = (expr: string): string => `sum(${expr})`;

const summary: readonly Panel[] = [
  exporterUp(3),
  stat({
    title: 'Sources',
    about:
      'Whether each source of what runs could be read, such as a Prometheus with kube-state-metrics; "No data": none is configured (`inUse` of the configuration), and nothing else is known here.',
    w: 4,
    state: 'works',
    queries: { '{{source}}': `min by (source) (${m('in_use_source_up')})` },
  }),
  stat({
    title: 'Running with critical findings',
    about:
      'Images that run and have critical findings; fixable ones have a fixed version, where the registry tells.',
    w: 5,
    threshold: 'none',
    queries: {
      all: total(m('repository_in_use_vulnerable_images', 'severity="CRITICAL"')),
      fixable: total(m('repository_in_use_fixable_images', 'severity="CRITICAL"')),
    },
  }),
  stat({
    title: 'Missing from the registry',
    about: 'Images that run and that a complete listing does not have: the next node that pulls one fails.',
    w: 4,
    threshold: 'none',
    queries: { images: total(m('repository_in_use_images', 'state="missing"')) },
  }),
  stat({
    title: 'Would be deleted',
    about: 'Images that run and that the configured retention expectation would remove.',
    w: 3,
    threshold: 'some',
    queries: { images: total(m('repository_in_use_stale_images')) },
  }),
  stat({
    title: 'Not scanned',
    about: 'Images that run and whose scan did not complete: what they contain is unknown.',
    w: 3,
    threshold: 'some',
    queries: { images: total(m('repository_in_use_unscanned_images')) },
  }),
  stat({
    title: 'Under latest',
    about: 'Images that run under the tag `latest`: which version that is changes with the next pull.',
    w: 2,
    queries: { images: total(m('repository_in_use_latest_tag_images')) },
  }),
];

const repositories = table({
  title: 'Repositories to act on',
  about:
    'Those with critical findings first, then those with images that are missing, would be deleted or are not scanned; 15 of each. "–": not known.',
  w: 24,
  h: 9,
  empty: 'No running image needs anybody, or nothing tells what runs: see Sources',
  columns: {
    ...repositoryColumns,
    Source: { label: 'source', width: 110 },
    Critical: { expr: use('repository_in_use_vulnerable_images', 'severity="CRITICAL"'), ...bad, width: 80 },
    'Critical fixable': {
      expr: use('repository_in_use_fixable_images', 'severity="CRITICAL"'),
      unit: 'locale',
      width: 115,
    },
    Missing: { expr: use('repository_in_use_images', 'state="missing"'), ...bad, width: 80 },
    'Would be deleted': { expr: use('repository_in_use_stale_images'), ...look, width: 125 },
    'Not scanned': { expr: use('repository_in_use_unscanned_images'), ...look, width: 100 },
    Unsigned: { expr: use('repository_in_use_unsigned_images'), unit: 'locale', width: 80 },
    Images: { expr: use('repository_in_use_images', 'state="present"'), unit: 'locale', width: 70 },
    Oldest: {
      expr: since(max(byUse, m('repository_in_use_oldest_push_timestamp_seconds'))),
      unit: 's',
      width: 100,
    },
  },
  rows: {
    by: byUse,
    expr: `(\n  ${[critical, missing, stale, unscanned].map((expr) => top(each, max(byUse, expr))).join('\n  or\n  ')}\n)`,
  },
  order: { Critical: 'down', Missing: 'down' },
});

const images = table({
  title: 'Running images with findings',
  about:
    'Single images that run, by tag and digest, those with critical findings first. Fixable: a newer version of the package mends it. An image without a tag runs on though its tag has moved.',
  w: 14,
  h: 10,
  empty: 'No running image with critical or high findings, or nothing tells what runs: see Sources',
  columns: {
    ...repositoryColumns,
    Tag: { label: 'tag' },
    Digest: { label: 'digest', width: 130 },
    Containers: { expr: image('image_in_use'), unit: 'locale', width: 90 },
    Critical: { expr: image('image_findings', ',severity="CRITICAL"'), ...bad, width: 70 },
    Fixable: { expr: image('image_fixable_findings', ',severity="CRITICAL"'), unit: 'locale', width: 75 },
    High: { expr: image('image_findings', ',severity="HIGH"'), ...look, width: 60 },
    'Scan age': {
      expr: since(image('image_scanned_timestamp_seconds')),
      unit: 's',
      threshold: 'scanAge',
      width: 95,
    },
  },
  rows: { by: byImage, expr: worstImages },
  order: { Critical: 'down', High: 'down' },
});

const places = table({
  title: 'Where they run',
  about:
    'Containers of repositories with running images that have critical findings, by cluster, namespace and workload: whom to call; the 30 places with the most. Empty names: places beyond the 20 largest of a repository, or a source that does not say.',
  w: 10,
  h: 10,
  empty: 'No running image has critical findings, or nothing tells what runs',
  columns: {
    Cluster: { label: 'workload_cluster' },
    Namespace: { label: 'workload_namespace' },
    Workload: { label: 'workload' },
    Registry: { label: 'registry' },
    Repository: { label: 'repository' },
    Containers: {
      expr: top(
        30,
        `${sum(`${byRepository}, workload_cluster, workload_namespace, workload`, m('repository_in_use_containers'))} and on (${byRepository}) (${critical})`,
      ),
      unit: 'locale',
      width: 90,
    },
  },
  order: { Containers: 'down' },
});

const unwatched: readonly Panel[] = [
  table({
    title: 'Age of what is known',
    about:
      'Each source with the age of its answer, beyond `staleAfter` it no longer counts. Unidentified: containers of which nothing names a manifest, such as those of images that were never pushed.',
    w: 12,
    h: 7,
    empty: 'No source is configured: see inUse of the configuration',
    columns: {
      Source: { label: 'source' },
      Works: { expr: `min by (source) (${m('in_use_source_up')})`, state: 'works', width: 80 },
      Age: {
        expr: since(`max by (source) (${m('in_use_source_last_answer_timestamp_seconds')})`),
        unit: 's',
        width: 90,
      },
      'Counts until': {
        expr: `max by (source) (${m('in_use_source_stale_after_seconds')})`,
        unit: 's',
        width: 110,
      },
      Containers: {
        expr: `sum by (source) (${m('in_use_source_containers', 'image="identified"')})`,
        unit: 'locale',
        width: 100,
      },
      Unidentified: {
        expr: `sum by (source) (${m('in_use_source_containers', 'image="unidentified"')})`,
        ...look,
        width: 110,
      },
    },
    order: { Works: 'up', Source: 'up' },
  }),
  table({
    title: 'Images that no registry lists',
    about:
      'Images that run, by the host that they come from, which no configured registry lists: nobody watches them. The 20 hosts with the most; an empty host: those beyond the 50 largest.',
    w: 7,
    h: 7,
    empty: 'Each running image is in a registry that is watched, or nothing tells what runs',
    columns: {
      Host: { label: 'host' },
      Images: { expr: top(20, `max by (host) (${m('in_use_unmatched_images')}) > 0`), unit: 'locale' },
    },
    order: { Images: 'down' },
  }),
  stat({
    title: 'Left out',
    about: 'Images that run and are left out, since a registry has more of them than `inUse.maxImages`.',
    w: 5,
    h: 7,
    threshold: 'some',
    queries: { images: total(m('in_use_dropped_images')) },
  }),
];

/** Which running images need somebody, where do they run, and is all that runs watched. */
export const inUse: Board = {
  uid: uids.inUse,
  title: 'Images in use',
  about:
    'What runs, over all clusters: which running images have critical findings, are gone from their registry, would be deleted or were never scanned; where they run; what nobody watches.',
  variables: ['provider', 'registry', 'repository'],
  chosen,
  first: [...summary, repositories, images, places, ...unwatched, firing(24, 6)],
};
