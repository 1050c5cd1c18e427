/** How soon somebody has to act: `critical` pages a person now, `warning` waits for the working day, `info` is a note. */
export type Severity = 'critical' | 'warning' | 'info';

/**
 * One alert, defined once. Rule files, documentation, the heads of the runbooks and the chart's values are generated
 * from it (`npm run generate`).
 */
export interface Alert {
  readonly name: string;
  readonly severity: Severity;
  /** How long the expression has to hold, as Prometheus writes durations; absent: it fires at once. */
  readonly for?: string;
  /** How long it goes on after the expression no longer holds, so that a short gap does not end and begin it anew. */
  readonly keepFiringFor?: string;
  /** PromQL. `$threshold` and `$job` stand for the threshold, and for the matcher of the exporter's job. */
  readonly expr: string;
  /** A number in `expr` that depends on the place; the chart's values can set it. */
  readonly threshold?: Threshold;
  /** Why the expression is what it is; a comment above the rule. */
  readonly why?: string;
  /** What is wrong, in a few words: the title of the notification. */
  readonly summary: string;
  /** What, where and how much: a template of Prometheus. */
  readonly description: string;
  /** When it fires, in words: the alert's row in `docs/alerts.md`, and the meaning in its runbook. */
  readonly meaning: string;
}

/** A number with what it measures. */
export interface Threshold {
  readonly value: number;
  /** Such as `GiB of one repository`; ends the sentence "more than 100 …". */
  readonly of: string;
}

/** Alerts of one rule file. */
export interface AlertGroup {
  /** Name of the group in Prometheus, and what the names of those begin with that hold one alert alone. */
  readonly name: string;
  /** Comment at the head of the file. */
  readonly about: string;
  readonly alerts: readonly Alert[];
}

/** A regular expression of the exporter's job, whatever the release or the scrape configuration calls it. */
const anyJob = '.*container-registry-exporter.*';

/**
 * What tells one target from another for other names (`compat.ts`): two exporters, or two clusters, may watch registries
 * of one name.
 *
 * Alerts name no labels of targets: Prometheus may be set up to call clusters `env`, to tell replicas apart, or to put
 * `exported_` before labels of a federated series. What a list of labels leaves out would be many series for one:
 * no alert at all, or one registry that hides another. They name the labels that differ between two metrics instead.
 */
export const target = 'cluster, namespace, job, instance, registry';

/** Labels of `container_registry_info` that other metrics of a registry do not have. */
export const labelsOfInfo = 'host, account, region';

/** What an alert is about, so that a part of these can have settings of its own. */
export type Scope = 'exporter' | 'registry' | 'repository';

/** The description names what the alert is about. */
export const scopeOf = ({ description }: Alert): Scope =>
  description.includes('$labels.repository')
    ? 'repository'
    : description.includes('$labels.registry')
      ? 'registry'
      : 'exporter';

/** PromQL with its placeholders filled in. */
export const filled = ({ expr, threshold }: Alert): string =>
  expr.replaceAll('$threshold', String(threshold?.value)).replaceAll('$job', anyJob);

/** Alerts as Prometheus evaluates them: those of a group one after the other, groups side by side. */
export interface EvaluatedGroup {
  readonly name: string;
  readonly alerts: readonly Alert[];
}

/** A series of each repository: a hundred thousand of them in a large fleet. */
const readsRepositories = ({ expr }: Alert): boolean => expr.includes('container_registry_repository_');

const hyphened = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** What reads a series of each repository takes most of a second in a large fleet: nothing waits for it. */
export function evaluatedGroups({ name, alerts }: AlertGroup): EvaluatedGroup[] {
  const together = alerts.filter((alert) => !readsRepositories(alert));
  const alone = alerts.filter(readsRepositories);
  return [
    { name, alerts: together },
    ...alone.map((alert) => ({ name: `${name}${hyphened(alert.name)}`, alerts: [alert] })),
  ];
}
