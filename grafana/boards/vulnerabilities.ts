import { severities } from '../../src/model.ts';
import type { Board } from '../frame.ts';
import { lines, type Panel, stat, toBoard } from '../panels.ts';
import {
  among,
  byImage,
  byRegistry,
  byRepository,
  max,
  orNotTold,
  selectors,
  since,
  sum,
  top,
} from '../queries.ts';
import { exporterUp, firing, imagesNotScanned, repositoryColumns, uids } from '../shared.ts';
import { table } from '../table.ts';

const m = selectors({ repository: true });
/** Of repositories that are chosen already: `.*` would be compared with the name of each repository that there is. */
const ofChosen = selectors();
const selected = 'severity=~"$severity"';
/** A severity, where it is one of those selected. */
const of = (severity: string): string => `severity="${severity}",${selected}`;

/** How many rows each severity may fill: those with critical findings are there whatever the others have. */
const each = 25;

/** Repositories among which the worst images are, so that no query reads all images of a fleet. */
const chosen = {
  worst_critical: { expr: top(each, `${m('repository_findings', of('CRITICAL'))} > 0`), label: 'repository' },
  // An older image may have critical findings where the newest has none.
  worst_older: {
    expr: top(each, `${m('repository_vulnerable_images', of('CRITICAL'))} > 0`),
    label: 'repository',
  },
  worst_high: { expr: top(each, `${m('repository_findings', of('HIGH'))} > 0`), label: 'repository' },
} as const;
const ofWorst = among('repository', ...Object.keys(chosen));

const image = (metric: string, more = ''): string => max(byImage, ofChosen(metric, `${ofWorst}${more}`));
const repository = (metric: string, more = ''): string =>
  max(byRepository, ofChosen(metric, `${ofWorst}${more}`));
/** The first of each severity. */
const rowsOf = (find: typeof image, metric: string): string =>
  `(\n  ${['CRITICAL', 'HIGH'].map((severity) => top(each, `${find(metric, `,${of(severity)}`)} > 0`)).join('\n  or\n  ')}\n)`;

const count = { threshold: 'none', unit: 'locale' } as const;

const summary: readonly Panel[] = [
  exporterUp(3),
  ...(['CRITICAL', 'HIGH'] as const).map((severity) =>
    stat({
      title: severity === 'CRITICAL' ? 'Critical findings' : 'High findings',
      about:
        'Of the newest tagged image of each repository; fixable ones have a fixed version, where the registry tells.',
      w: 4,
      threshold: severity === 'CRITICAL' ? 'none' : 'some',
      queries: {
        all: orNotTold(m, `sum(${m('repository_findings', `severity="${severity}"`)})`),
        fixable: orNotTold(m, `sum(${m('repository_fixable_findings', `severity="${severity}"`)})`),
      },
      state: 'told',
    }),
  ),
  stat({
    title: 'Affected repositories',
    about: 'Repositories whose newest tagged image has at least one critical finding.',
    w: 3,
    threshold: 'none',
    queries: {
      repositories: orNotTold(m, `sum(${m('repository_findings', 'severity="CRITICAL"')} > bool 0)`),
    },
    state: 'told',
  }),
  stat({
    title: 'Affected images in use',
    about:
      'Images with critical findings that containers run, among the repositories below, where a source or the scanner of the registry knows what runs.',
    w: 4,
    threshold: 'none',
    queries: {
      images: `count(${image('image_in_use')} > 0 and on (${byImage}) (${image('image_findings', ',severity="CRITICAL"')} > 0)) or 0 * count(${ofChosen('image_in_use', ofWorst)})`,
    },
  }),
  imagesNotScanned(m),
  stat({
    title: 'Signed images',
    about: 'Images that have a signature, in the repositories of which it is known of every image.',
    w: 3,
    queries: { signed: `sum(${m('repository_signed_images')})` },
  }),
];

const images = table({
  title: 'Images with findings',
  about:
    'Single images that the exporter shows one by one (the newest few of each repository, and tags of `images.tags`), those with critical findings first, then those with high ones. Fixable: a newer version of the package mends it; "–" where the registry does not tell. In use: containers that run the image, where a source or the scanner knows.',
  w: 24,
  h: 11,
  empty: 'No image with findings of the selected severities, or no data: see Scan status',
  columns: {
    ...repositoryColumns,
    Tag: { label: 'tag' },
    Digest: { label: 'digest', width: 150 },
    Critical: { expr: image('image_findings', `,severity="CRITICAL"`), ...count, width: 80 },
    'Critical fixable': {
      expr: image('image_fixable_findings', `,severity="CRITICAL"`),
      unit: 'locale',
      width: 115,
    },
    High: { expr: image('image_findings', `,severity="HIGH"`), threshold: 'some', unit: 'locale', width: 70 },
    'High fixable': { expr: image('image_fixable_findings', `,severity="HIGH"`), unit: 'locale', width: 100 },
    'In use': { expr: image('image_in_use'), unit: 'locale', width: 70 },
    'Scan age': {
      expr: since(image('image_scanned_timestamp_seconds')),
      unit: 's',
      threshold: 'scanAge',
      width: 100,
    },
    Pushed: { expr: since(image('image_pushed_timestamp_seconds')), unit: 's', width: 100 },
  },
  rows: { by: byImage, expr: rowsOf(image, 'image_findings') },
  order: { Critical: 'down', High: 'down' },
});

const repositories = table({
  title: 'Repositories with findings',
  about:
    'By the newest tagged image, the one that is deployed next. Where the registry gives one number of fixable findings for all severities, it is in the last column.',
  w: 14,
  h: 9,
  empty: 'No repository with findings of the selected severities, or no data: see Scan status',
  columns: {
    ...repositoryColumns,
    Critical: { expr: repository('repository_findings', ',severity="CRITICAL"'), ...count, width: 80 },
    High: {
      expr: repository('repository_findings', ',severity="HIGH"'),
      threshold: 'some',
      unit: 'locale',
      width: 70,
    },
    'Critical fixable': {
      expr: repository('repository_fixable_findings', ',severity="CRITICAL"'),
      unit: 'locale',
      width: 115,
    },
    'Vulnerable images': {
      expr: repository('repository_vulnerable_images', ',severity="CRITICAL"'),
      unit: 'locale',
      width: 130,
    },
    'All fixable': {
      expr: repository('repository_fixable_findings', ',severity=""'),
      unit: 'locale',
      width: 90,
    },
  },
  rows: { by: byRepository, expr: rowsOf(repository, 'repository_findings') },
  order: { Critical: 'down', High: 'down' },
});

const scans = table({
  title: 'Scan status',
  about:
    'Images by registry and by what became of their scan. What is not complete has no findings, and is not clean.',
  w: 10,
  h: 9,
  columns: {
    Registry: { label: 'registry', links: [toBoard('Registry', uids.registry, { registry: 'Registry' })] },
    ...Object.fromEntries(
      (
        [
          ['Complete', 'complete'],
          ['Pending', 'pending', 'some'],
          ['Failed', 'failed', 'none'],
          ['Unsupported', 'unsupported'],
          ['Never', 'none', 'some'],
        ] as const
      ).map(([title, status, threshold]) => [
        title,
        {
          expr: sum(byRegistry, m('repository_image_scans', `status="${status}"`)),
          unit: 'locale',
          ...(threshold && { threshold }),
        },
      ]),
    ),
  },
  order: { Failed: 'down', Never: 'down' },
});

const details: readonly Panel[] = [
  lines({
    title: 'Images with Vulnerabilities',
    about: 'Images with at least one finding of the severity, one point an hour.',
    w: 12,
    interval: '1h',
    queries: {
      CRITICAL: `sum(${m('repository_vulnerable_images', of('CRITICAL'))})`,
      HIGH: `sum(${m('repository_vulnerable_images', of('HIGH'))})`,
    },
  }),
  lines({
    title: 'Policy violations',
    about: 'Open violations by watch and severity, the ten largest.',
    w: 12,
    queries: {
      '{{watch}} {{severity}}': top(10, `${sum('watch, severity', m('policy_violations', selected))} > 0`),
    },
  }),
];

const unsigned = table({
  title: 'Repositories without signed images',
  about: 'Repositories of which it is known of every image, and none has a signature; 30 of them.',
  w: 24,
  empty: 'Every repository has a signed image, or it is not known',
  columns: {
    ...repositoryColumns,
    'Signed images': {
      expr: top(30, `${m('repository_signed_images')} == 0`),
      unit: 'locale',
    },
  },
  order: { Registry: 'up' },
});

/** Which image has critical findings, is there a fix, does it run. */
export const vulnerabilities: Board = {
  uid: uids.vulnerabilities,
  title: 'Vulnerabilities',
  about: `Which image has findings, is there a fix, does it run, and how old is the scan. Severities: ${severities.join(', ')}.`,
  variables: ['provider', 'registry', 'repository', 'severity'],
  chosen,
  first: [...summary, images, repositories, scans, firing(24, 6)],
  rows: [
    { title: 'Over time', collapsed: true, panels: details },
    { title: 'Signatures', collapsed: true, panels: [unsigned] },
  ],
};
