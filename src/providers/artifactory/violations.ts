import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import { type RegistryFacts, type Severity, severities } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, list, optional, text } from '../../wire.ts';
import { type Api, needing } from './api.ts';
import { severityOf } from './xray-summary.ts';

type Violations = NonNullable<RegistryFacts['violations']>;

const permission = 'the role Manage Watches (View Watches where it exists) and Read on what they watch';

const watch = z.object({
  general_data: z.object({ name: text, active: optional('active', z.boolean()) }),
});
/** An array, or one within an object: the documentation shows both. */
const watchList = z.union([list('watches', watch), z.object({ watches: list('watches', watch) })]);
/** The total may be left out where there is none: https://github.com/jfrog/jfrog-client-go/blob/v1.54.0/xray/services/violations.go */
const violations = z
  .object({
    total_violations: count.nullish(),
    violations: optional('violations', list('violations', z.object({ severity: text }))),
  })
  .transform(({ total_violations: total, violations: listed }, context) => {
    if (typeof total === 'number') return { total_violations: total, violations: listed };
    if (listed?.length === 0) return { total_violations: 0, violations: listed };
    context.addIssue({ code: 'custom', message: 'no total', path: ['total_violations'] });
    return z.NEVER;
  });

/** Violations are told one by one up to so many; beyond, they are counted by their least severity. */
const perPage = 100;
/** From the least severe: each asks for its own and all above. https://jfrog.com/help/r/xray-rest-apis/get-violations */
const words: readonly (readonly [string, Severity])[] = [
  ['Critical', 'CRITICAL'],
  ['High', 'HIGH'],
  ['Medium', 'MEDIUM'],
  ['Low', 'LOW'],
  ['Information', 'NEGLIGIBLE'],
  ['Unknown', 'UNKNOWN'],
];

/** Ends the wait at its own deadline: Xray itself has none for this question. */
async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CollectError('timeout', `${what}: no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => {});
  }
}

/**
 * Violations of the active watches by severity, each asked for by the name of its watch: without such a filter Xray may
 * never answer. Asked anew at an interval of its own; between, the last answer stands.
 */
export async function readViolations(given: {
  readonly api: Api;
  readonly context: CollectContext;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}): Promise<Violations | undefined> {
  const { api, context, intervalMs, timeoutMs } = given;
  const kept = context.session.keep<{ at?: number; value?: Violations }>('violations', () => ({}));
  if (kept.value && kept.at !== undefined && context.now() - kept.at < intervalMs / 1000) return kept.value;

  async function ask(name: string, limit: number, least?: string) {
    const response = await within(
      timeoutMs,
      `the violations of the watch ${JSON.stringify(name)}`,
      api.request({
        path: 'xray/api/v1/violations',
        post: {
          type: 'application/json',
          body: JSON.stringify({
            filters: { watch_name: name, ...(least && { min_severity: least }) },
            pagination: { order_by: 'created', direction: 'desc', limit, offset: 1 },
          }),
        },
        operation: 'xray_violations',
      }),
    );
    return json(response, violations);
  }

  async function ofWatch(name: string): Promise<Map<Severity, number>> {
    const counts = new Map<Severity, number>(severities.map((severity) => [severity, 0]));
    const all = await ask(name, perPage);
    if (all.total_violations <= (all.violations ?? []).length) {
      for (const { severity } of all.violations ?? [])
        counts.set(severityOf(severity), (counts.get(severityOf(severity)) ?? 0) + 1);
      return counts;
    }
    let above = 0;
    for (const [word, severity] of words.slice(0, -1)) {
      const { total_violations: total } = await ask(name, 1, word);
      counts.set(severity, Math.max(0, total - above));
      above = Math.max(above, total);
    }
    counts.set('UNKNOWN', Math.max(0, all.total_violations - above));
    return counts;
  }

  try {
    const response = await api.request({
      path: 'xray/api/v2/watches',
      operation: 'xray_watches',
      accept: [404],
    });
    if (response.status === 404) return undefined;
    const listed = json(response, watchList);
    const names = (Array.isArray(listed) ? listed : listed.watches)
      .filter(({ general_data }) => general_data.active !== false)
      .map(({ general_data }) => general_data.name);
    const value: Violations[number][] = [];
    for (const name of [...new Set(names)])
      for (const [severity, count] of await ofWatch(name)) value.push({ watch: name, severity, count });
    kept.at = context.now();
    kept.value = value;
    return value;
  } catch (error) {
    context.signal.throwIfAborted();
    delete kept.value;
    context.degraded('findings', needing(permission, error));
    return undefined;
  }
}
