import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { severityCounts, severityOfWord } from '../../images/severity.ts';
import type { RegistryFacts, Severity } from '../../model.ts';
import { readPart } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { count, list, optional, text } from '../../wire.ts';
import type { Api } from './api.ts';

type Violations = NonNullable<RegistryFacts['violations']>;

const permission = 'the role Manage Watches (View Watches where it exists) and Read on what they watch';

const watch = z.object({
  general_data: z.object({ name: text, active: optional('active', z.boolean()) }),
});
/** An array, or one within an object: the documentation shows both. */
const watchList = z.union([
  list('watches', watch),
  z.object({ watches: list('watches', watch) }).transform(({ watches }) => watches),
]);
/** The total may be left out where there is none: https://github.com/jfrog/jfrog-client-go/blob/v1.54.0/xray/services/violations.go */
const violations = z
  .object({
    total_violations: count.nullish(),
    violations: optional('violations', list('violations', z.object({ severity: text }))),
  })
  .transform(({ total_violations, violations: listed }, context) => {
    const total = total_violations ?? (listed?.length === 0 ? 0 : undefined);
    if (total !== undefined) return { total, listed: listed ?? [] };
    context.addIssue({ code: 'custom', message: 'no total', path: ['total_violations'] });
    return z.NEVER;
  });

/** Violations are told one by one up to so many; beyond, they are counted by their least severity. */
const perPage = 100;
/** Each asks for its own severity and all above. https://jfrog.com/help/r/xray-rest-apis/get-violations */
const leastSeverities: readonly (readonly [string, Severity])[] = [
  ['Critical', 'CRITICAL'],
  ['High', 'HIGH'],
  ['Medium', 'MEDIUM'],
  ['Low', 'LOW'],
  ['Information', 'NEGLIGIBLE'],
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

export interface ViolationsInput {
  readonly api: Api;
  readonly context: CollectContext;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** Violations of one watch, by severity. */
async function ofWatch({ api, timeoutMs }: ViolationsInput, name: string): Promise<Record<Severity, number>> {
  const ask = async (limit: number, least?: string) => {
    const filters = { watch_name: name, ...(least && { min_severity: least }) };
    const pagination = { order_by: 'created', direction: 'desc', limit, offset: 1 };
    const answer = api.read(
      {
        path: 'xray/api/v1/violations',
        post: { type: 'application/json', body: JSON.stringify({ filters, pagination }) },
        operation: 'xray_violations',
      },
      violations,
    );
    const what = `the violations of the watch ${JSON.stringify(name)}`;
    return (await within(timeoutMs, what, answer)) as z.infer<typeof violations>;
  };
  const { total, listed } = await ask(perPage);
  if (total <= listed.length)
    return severityCounts(listed.map(({ severity }) => [severityOfWord(severity) ?? 'UNKNOWN', 1]));
  const counts: [Severity, number][] = [];
  let above = 0;
  for (const [word, severity] of leastSeverities) {
    const least = await ask(1, word);
    counts.push([severity, Math.max(0, least.total - above)]);
    above = Math.max(above, least.total);
  }
  return severityCounts([...counts, ['UNKNOWN', Math.max(0, total - above)]]);
}

/**
 * Violations of the active watches by severity. Each watch is asked for by its name: without such a filter Xray may
 * never answer. They are asked for at an interval of their own; between, the last answer stands.
 */
export async function readViolations(input: ViolationsInput): Promise<Violations | undefined> {
  const { api, context, intervalMs } = input;
  const kept = context.session.keep<{ at: number; value?: Violations | undefined }>('violations', () => ({
    at: 0,
  }));
  if (kept.value && context.now() - kept.at < intervalMs / 1000) return kept.value;
  kept.value = await readPart(context, { capability: 'findings', permission }, async () => {
    const path = 'xray/api/v2/watches';
    const watches = await api.read({ path, operation: 'xray_watches', accept: [404] }, watchList);
    const names = watches
      ?.filter(({ general_data }) => general_data.active !== false)
      .map(({ general_data }) => general_data.name);
    if (!names) return undefined;
    const rows: Violations[number][] = [];
    for (const watch of new Set(names))
      for (const [severity, count] of Object.entries(await ofWatch(input, watch)))
        rows.push({ watch, severity: severity as Severity, count });
    return rows;
  });
  kept.at = context.now();
  return kept.value;
}
