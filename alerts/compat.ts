import { target } from './alert.ts';

/** A rule that records a series under another name. */
export interface Recorded {
  readonly record: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly expr: string;
  /** A comment above the rule. */
  readonly why?: string;
}

/**
 * Recording rules of one file. Each is a group of its own: the rules of a group are evaluated one after the other, and
 * some of these take a second for 100,000 images.
 */
export interface RecordedRules {
  /** Begins the names of the groups. */
  readonly name: string;
  /** Comment at the head of the file. */
  readonly about: string;
  /** By what the name of the group ends with. */
  readonly rules: Readonly<Record<string, Recorded>>;
}

const severities = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'NEGLIGIBLE', 'UNKNOWN'] as const;
type Severity = (typeof severities)[number];

/** A rule for each severity. */
const bySeverity = (rule: (severity: Severity) => Recorded): Record<string, Recorded> =>
  Object.fromEntries(severities.map((severity) => [`findings-${severity.toLowerCase()}`, rule(severity)]));

const sumOf = (metric: string, more = ''): string =>
  `sum by (registry, repository) (container_registry_${metric}{provider="ecr"${more}})`;

const originalRequest: RecordedRules = {
  name: 'container-registry-compat-aws-ecr',
  about: `The names of the request that this exporter was made for, recorded from ours, so that its rules and dashboard queries
load and work unchanged. Names of aws-exporters/ecr are in compat-aws-exporters-ecr.rules.yaml: none is in both.`,
  rules: {
    images: { record: 'aws_ecr_repository_images', expr: sumOf('repository_images') },
    size: { record: 'aws_ecr_repository_size_bytes', expr: sumOf('repository_size_bytes') },
    ...bySeverity((severity) => ({
      record: 'aws_ecr_image_scan_findings',
      labels: { severity },
      expr: sumOf('repository_findings', `,severity="${severity}"`),
    })),
    'push-failures': { record: 'aws_ecr_push_failures_total', expr: sumOf('push_failures_total') },
  },
};

const indented = (text: string): string => text.replaceAll('\n', '\n  ');
const call = (name: string, argument: string, ...others: string[]): string =>
  `${name}(\n  ${indented(argument)},\n  ${others.map((other) => `"${other}"`).join(', ')}\n)`;

/** A series for each registry whose account is known. */
const info = `max by (${target}, host, account) (container_registry_info{provider="ecr", host!="", account!=""})`;
/**
 * What AWS calls the registry, and what the names of its images are joined of. Labels are made here, where the series
 * are few, as far as possible: on images each step costs some microseconds for each.
 */
const registries = call(
  'label_replace',
  call(
    'label_replace',
    call('label_replace', info, 'registry_id', '$1', 'account', '(.*)'),
    'prefix',
    '$1/',
    'host',
    '(.*)',
  ),
  'colon',
  ':',
  '',
  '',
);
const ofRegistry = (value: string, labels: string): string =>
  `${value}
* on (${target}) group_left (${labels})
${registries}`;

const named = (value: string, ...more: string[]): string =>
  call('label_join', call('label_join', value, ...more), 'name', '', 'repository');

/** @param value a series for each image */
const imageRule = (name: string, value: string): Recorded => ({
  record: `aws_ecr_image_${name}`,
  expr: `max by (name, registry_id, image, tag, digest) (
  ${indented(named(ofRegistry(value, 'registry_id, prefix, colon'), 'image', '', 'prefix', 'repository', 'colon', 'tag'))}
)`,
});
const ofImages = (metric: string): string => `container_registry_image_${metric}{provider="ecr"}`;

/** Two of AWS's words are others than ours. */
const wordsOfAws: Partial<Record<Severity, string>> = {
  NEGLIGIBLE: 'INFORMATIONAL',
  UNKNOWN: 'UNDEFINED',
};

const practice = (name: string): string =>
  `max by (${target}, repository) (container_registry_repository_practice{provider="ecr", practice="${name}"})`;
/** The three practices as one number, which `count_values` makes a label: 1 for the first, 2 and 4 for the others. */
const practices = `count_values by (${target}, repository) (
  "practices",
  ${practice('immutable_tags')}
  + 2 * ${practice('scan_on_push')}
  + 4 * ${practice('customer_managed_key')}
)`;
/** AWS's words for such a number. */
const wordsOf = (number: number): string =>
  [
    ['practices', String(number)],
    ['tag_mutability', number & 1 ? 'IMMUTABLE' : 'MUTABLE'],
    ['scan_on_push', number & 2 ? 'true' : 'false'],
    ['encryption_type', number & 4 ? 'KMS' : 'AES256'],
  ].reduce((vector, [label, word]) => `label_replace(${vector}, "${label}", "${word}", "", "")`, 'vector(1)');
const words = `(
  ${[0, 1, 2, 3, 4, 5, 6, 7].map(wordsOf).join('\n  or\n  ')}
)`;

const awsExporters: RecordedRules = {
  name: 'container-registry-compat-aws-exporters-ecr',
  about: `The names and labels of aws-exporters/ecr (https://github.com/aws-exporters/ecr), recorded from ours, so that rules and
dashboards written for it go on working: \`name\`, \`registry_id\`, \`image\` as HOST/REPOSITORY:TAG, and AWS's own words.
Set \`images.tags: ["*"]\` where single images beyond the newest few are needed: that exporter shows every tagged image.

What was not read has no series. docs/migration.md tells what differs, docs/performance.md what the rules cost.`,
  rules: {
    up: {
      record: 'aws_ecr_repository_exporter_up',
      expr: 'group by (job, instance) (container_registry_info{provider="ecr"})',
    },
    count: {
      record: 'aws_ecr_repository_count',
      expr: `sum by (registry_id) (
  max by (registry_id, host) (
    ${indented(indented(ofRegistry('container_registry_repositories{provider="ecr"}', 'registry_id, host')))}
  )
)`,
    },
    repositories: {
      record: 'aws_ecr_repository_info',
      why: `The three practices as one number, joined with a table of AWS's words for each of the eight. pint takes all but the
first row of the table for dead, since that is always there; but each has labels of its own, so that \`or\` keeps it.
pint disable promql/impossible`,
      expr: `group by (name, registry_id, repository_uri, tag_mutability, scan_on_push, encryption_type) (
  ${indented(
    named(
      `${ofRegistry(practices, 'registry_id, prefix')}
* on (practices) group_left (tag_mutability, scan_on_push, encryption_type)
${words}`,
      'repository_uri',
      '',
      'prefix',
      'repository',
    ),
  )}
)`,
    },
    size: imageRule('size_in_bytes', ofImages('size_bytes')),
    pushed: imageRule('pushed_at_timestamp_seconds', ofImages('pushed_timestamp_seconds')),
    scanned: imageRule('scan_completed_at_timestamp_seconds', ofImages('scanned_timestamp_seconds')),
    ...bySeverity((severity) => ({
      ...imageRule(
        'scan_severity_count',
        `(container_registry_image_findings{provider="ecr", severity="${severity}"} > 0)`,
      ),
      labels: { severity: wordsOfAws[severity] ?? severity },
      why: 'AWS counts only what was found: there is no series of 0.',
    })),
  },
};

/** The rules that record names of other exporters, by the name of their file. */
export const recordedRules: ReadonlyMap<string, RecordedRules> = new Map([
  ['compat-aws-ecr.rules.yaml', originalRequest],
  ['compat-aws-exporters-ecr.rules.yaml', awsExporters],
]);
