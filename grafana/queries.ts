import { prefix } from '../src/metrics/row.ts';
import { metrics } from '../src/metrics.ts';

/** Labels that name an exporter, whichever pod it is. */
const byExporter = 'cluster, namespace, job';
/** Labels that name a registry, also where two exporters or clusters have one of the same name. */
export const byRegistry = 'cluster, namespace, job, registry, provider';
export const byRepository = `${byRegistry}, repository`;
export const byImage = `${byRepository}, tag, digest`;

const exporterVariables = 'cluster=~"$cluster",job=~"$job"';
const registryVariables = `${exporterVariables},registry=~"$registry",provider=~"$provider"`;

/** Matchers of the variables that a metric without a row in the table of metrics can have. */
export const ofExporter = exporterVariables;

/**
 * A selector of one metric of the exporter by its name without the prefix, with the matchers of the board's variables
 * that fit to it. A name that the table does not have is an error.
 */
export type Select = (name: string, more?: string, range?: string) => string;

/** Selectors for a board; with `repository` those of repositories follow the variable of that name. */
export function selectors({ repository = false } = {}): Select {
  return (name, more, range = '') => {
    const base = name.replace(/_(bucket|sum|count)$/, '');
    const row = metrics.find((one) => one.name === `${prefix}_${base}` || one.name === `${prefix}_${name}`);
    if (!row) throw new Error(`no metric ${prefix}_${name} in src/metrics.ts`);
    const matchers = [
      row.scope === 'process' && !row.labels.includes('registry') ? exporterVariables : registryVariables,
      ...(repository && row.scope === 'repository' ? ['repository=~"$repository"'] : []),
      ...(more ? [more] : []),
    ];
    return `${prefix}_${name}{${matchers.join(',')}}${range}`;
  };
}

/** `sum by (labels) (…)` and the like. */
export const sum = (by: string, expr: string): string => (by ? `sum by (${by}) (${expr})` : `sum(${expr})`);
export const max = (by: string, expr: string): string => (by ? `max by (${by}) (${expr})` : `max(${expr})`);
export const min = (by: string, expr: string): string => (by ? `min by (${by}) (${expr})` : `min(${expr})`);
export const top = (count: number, expr: string): string => `topk(${count}, ${expr})`;
/** Of a counter, per minute; what does not happen is left out, so that legends stay short. */
export const perMinute = (by: string, counter: string): string =>
  `60 * ${sum(by, `rate(${counter}[$__rate_interval])`)} > 0`;
/**
 * What counters of a repository counted within a time. increase() does not see what a series begins with, and not all
 * counters of pushes begin at 0: one that was not there at the beginning of the time, while its exporter was, did.
 */
export const counted = (m: Select, counter: string, range: string): string =>
  `((${m(counter)} unless ${m(counter)} offset ${range}) and on (cluster, namespace, job, instance, registry) (${m('info')} offset ${range})) or increase(${m(counter, '', `[${range}]`)})`;
/**
 * Matches the names that variables of a board's `chosen` found: joined by `|`, which Prometheus looks up one by one,
 * where a group of them would be compared with every name that there is.
 */
export const among = (label: string, ...variables: readonly string[]): string =>
  `${label}=~"${variables.map((name) => `\${${name}:pipe}`).join('|')}"`;
/**
 * -1 in place of a number that is not there because no registry tells of it: each has data and no capability of any
 * fails. A registry that is down might tell.
 */
export const orNotTold = (m: Select, expr: string): string =>
  `${expr}
or on ()
((count(${m('info')}) == count(${m('repositories')})) * 0 - 1 unless on () ${m('capability_up')} == 0)`;
/** Seconds since a time. */
export const since = (expr: string): string => `time() - ${expr}`;
/** Seconds until a time. */
export const until = (expr: string): string => `${expr} - time()`;

/**
 * The exporter as Prometheus sees it: 1 it answers, 0 it does not, -1 Prometheus no longer has the target, although
 * there was an exporter within the last day. By cluster, namespace and job, so that no dead one hides behind another.
 */
export const exporterState = (): string => {
  const seen = `last_over_time(${prefix}_exporter_build_info{${exporterVariables}}[1d])`;
  return `${min(byExporter, `up{${exporterVariables}} and on (${byExporter}) ${seen}`)}
or
-1 * ${max(byExporter, seen)}`;
};

/** Registries whose last success is older than two polls: a poll hangs, whatever the last one was. */
export const late = (m: Select): string =>
  `(${since(max(byRegistry, m('last_success_timestamp_seconds')))} > 2 * ${max(byRegistry, m('poll_interval_seconds'))})`;

/** A registry: 1 its last poll succeeded, 0.5 it did and is long ago, 0 it failed, -1 it was never polled. */
export const registryState = (m: Select): string =>
  `(0.5 * ${min(byRegistry, m('up', '', ' == 1'))} and on (${byRegistry}) ${late(m)})
or
${min(byRegistry, m('up'))}
or
-1 * ${max(byRegistry, m('info'))}`;
