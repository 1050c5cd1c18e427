import { createHash } from 'node:crypto';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { type PushEvent, repositoryName } from '../../events/push-event.ts';
import type { PushFailureReason } from '../../events/told.ts';
import { walkPages } from '../../http/pages.ts';
import { type HttpResponse, json } from '../../http.ts';
import type { CollectContext, EventBatch, EventSource } from '../../provider.ts';
import { createGivenBefore, type GivenBefore, spanOf } from '../../reading-span.ts';
import { reasonOfPush, reasonsOfStatuses } from '../../registry-metrics.ts';
import { newestOf } from '../../times.ts';
import { anyObject, text } from '../../wire.ts';
import { askAbout } from './place.ts';
import type { SurroundingsSettings } from './surroundings.ts';

/** What of the options this source needs. */
interface Settings extends SurroundingsSettings {
  readonly pushEvents?: { readonly interval?: number | undefined } | undefined;
}

const usualIntervalMs = 60_000;
/**
 * Rows come minutes after what they tell of:
 * https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time
 */
const lateSeconds = 30 * 60;
/** A row is less than 1 KB, and an answer of so many has room in what is read at most. */
const pageRows = 2_000;

/** https://learn.microsoft.com/azure/azure-monitor/reference/tables/containerregistryrepositoryevents */
const table = 'ContainerRegistryRepositoryEvents';
const role =
  'assign the role "Monitoring Reader" on the registry, or "Log Analytics Reader" on the workspace';
/** What to do is added where the identity may not: the two cannot be told apart. */
const noLog = (where: string): CollectError =>
  new CollectError(
    'forbidden',
    `${where} shows no workspace with ${table} of the registry: send it to one by a diagnostic setting. Where that is done`,
  );

/** Which workspaces and tables the identity may read. https://learn.microsoft.com/azure/azure-monitor/logs/api/azure-resource-queries */
const source = z.object({
  resourceId: z.string().nullish(),
  denyTables: z.array(z.string()).nullish(),
  dataSources: z.array(z.string()).nullish(),
});
/** https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format */
const answer = z.object({
  tables: z
    .tuple([
      z.object({
        columns: z.array(z.object({ name: text })).max(100),
        rows: z.array(z.array(z.unknown()).max(100)).max(pageRows),
      }),
    ])
    .rest(z.unknown()),
  error: z.object({ code: text.nullish(), message: z.string().nullish() }).nullish(),
  permissions: z
    .object({ resources: z.array(source).nullish(), dataSources: z.array(source).nullish() })
    .nullish(),
});
type Answer = z.output<typeof answer>;

/** The text of a cell; the registry writes `<nil>` for what a request does not have. */
const cell = z
  .string()
  .max(4_096)
  .nullish()
  .transform((value) => (value === '<nil>' || value === '' ? undefined : (value ?? undefined)));
const row = z.object({
  TimeGenerated: z.iso.datetime(),
  CorrelationId: cell,
  Repository: cell,
  Tag: cell,
  Digest: cell,
  Identity: cell,
  ResultDescription: cell,
});

/**
 * What a status means for a push. A 401 asks for a token where none was shown; where one was, it is how ACR refuses what
 * that does not allow: docs/providers/acr.md, "Checked against".
 */
const reasonOf = (status: string, identity: string | undefined): PushFailureReason | undefined =>
  status === '401' && identity !== undefined ? 'denied' : reasonOfPush(status);

/** A row as it is given on. */
interface Read {
  /** A row has no id of its own, and comes twice where two workspaces have it: its content is the id. */
  readonly id: string;
  /** Undefined for a row that cannot be understood. */
  readonly event: PushEvent | undefined;
  readonly time: string | undefined;
}

function eventOf(id: string, cells: z.output<typeof row>): PushEvent | undefined {
  const { Repository, Identity, ResultDescription: status = '' } = cells;
  // `ResultType` only says what kind of result it is: HttpStatusCode.
  if (!/^[1-5]\d\d$/.test(status)) return undefined;
  const reason = reasonOf(status, Identity);
  if (reason === undefined) return { id, type: 'other' };
  return { id, type: 'failed', repository: repositoryName.safeParse(Repository).data ?? '', reason };
}

/** Each row is one request; cells are named by the columns. */
function rowsOf({ tables: [{ columns, rows }] }: Answer): Read[] {
  const names = columns.map(({ name }) => name);
  return rows.map((cells) => {
    const { data } = row.safeParse(Object.fromEntries(names.map((name, at) => [name, cells[at]])));
    const id = createHash('sha256').update(JSON.stringify(cells)).digest('base64');
    return { id, event: data && eventOf(id, data), time: data?.TimeGenerated };
  });
}

const same = (first: string, other: string): boolean => first.toLowerCase() === other.toLowerCase();
const mayRead = ({ denyTables }: z.output<typeof source>): boolean =>
  !denyTables?.some((denied) => same(denied, table));

/** Whether a workspace has the log and shows it; undefined where the answer does not say. */
function isShown({ permissions }: Answer): boolean | undefined {
  if (!permissions) return undefined;
  const readable = (permissions.dataSources ?? []).filter(mayRead);
  return (permissions.resources ?? [])
    .filter(mayRead)
    .flatMap(({ dataSources }) => dataSources ?? [])
    .some((id) => readable.some(({ resourceId }) => same(resourceId ?? '', id)));
}

const refusal = z.object({ error: anyObject });
/** What the innermost error of a refused query says. */
function saidIn(response: HttpResponse): string {
  let said = '';
  let inner: Readonly<Record<string, unknown>> | undefined = json(response, refusal).error;
  for (let depth = 0; inner && depth < 5; depth += 1) {
    if (typeof inner['message'] === 'string') said = inner['message'].slice(0, 300);
    inner = anyObject.safeParse(inner['innererror']).data;
  }
  return said;
}

/** Pushes in a span of time that have no status of success, the oldest first. */
const queryOf = (from: string, to: string): string => `${table}
| where TimeGenerated >= datetime(${from}) and TimeGenerated < datetime(${to})
| where OperationName =~ 'Push'
| extend Status = toint(ResultDescription)
| where isnull(Status) or Status >= 400
| top ${pageRows} by TimeGenerated asc
| project ${Object.keys(row.shape).join(', ')}`;

/** @throws CollectError also where the log is not shown: then nobody would ever hear of a failure */
async function answered(
  settings: Settings,
  context: CollectContext,
  [from, to]: readonly [string, string],
): Promise<Answer> {
  return askAbout(settings, { context, advice: role }, async (access, resource) => {
    const logs = await access.logs();
    const body = { query: queryOf(from, to), timespan: `${from}/${to}` };
    const response = await logs.post('push_log', `/v1${resource}/query`, {}, body, {
      headers: { prefer: 'include-permissions=true' },
      accept: [400],
    });
    const where = `${response.url.origin}${response.url.pathname}`;
    if (response.status === 400) {
      const said = saidIn(response);
      if (said.includes(table)) throw noLog(where);
      throw new CollectError('invalid_response', `${where} refused the query: ${said}`);
    }
    // Of a workspace without any data, with 204.
    if (response.body.length === 0) throw noLog(where);
    const page = json(response, answer);
    if (page.tables[0].rows.length === 0 && isShown(page) === false) throw noLog(where);
    return page;
  });
}

function batchOf(rows: readonly Read[], before: GivenBefore): EventBatch {
  const fresh = rows.filter(({ id }) => !before.has(id));
  return {
    events: fresh.map(({ event }) => event),
    newestAt: newestOf(fresh.map(({ time }) => (time === undefined ? undefined : Date.parse(time) / 1000))),
    done: async () => before.add(fresh.map(({ id }) => id)),
  };
}

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** Failed pushes by repository from the registry's log in Log Analytics, where a diagnostic setting sends it there. */
export function logsSource(settings: Settings): EventSource {
  return {
    name: 'log-analytics',
    tells: { repositories: { failures: reasonsOfStatuses } },
    everyMs: settings.pushEvents?.interval ?? usualIntervalMs,
    async *read(context, since): AsyncGenerator<EventBatch> {
      const before = context.session.keep('rows of the log', createGivenBefore);
      const span = spanOf(context, { name: 'log-analytics', since, lateSeconds });
      const to = iso(span.to);
      let partial: Answer['error'];
      const pages = walkPages<Read, string>({
        what: table,
        first: iso(span.from),
        async read(from) {
          const page = await answered(settings, context, [from, to]);
          partial = page.error;
          const items = rowsOf(page);
          // The next page begins with the rows of the last moment: some of them may not have been in this one.
          const last = items.at(-1)?.time;
          if (items.length < pageRows || partial) return { items };
          if (last === undefined)
            throw new CollectError(
              'invalid_response',
              `${table}: the last row of a page has no time: the next one cannot be asked for`,
            );
          return { items, next: last };
        },
      });
      for await (const rows of pages) yield batchOf(rows, before);
      // What came is true and counts; what is missing is asked for again.
      if (partial)
        throw new CollectError(
          'partial',
          `Log Analytics answered a part of ${table}: ${partial.message ?? partial.code ?? 'no reason given'}`,
        );
      span.done();
    },
  };
}
