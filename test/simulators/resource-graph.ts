import type { Severity } from '../../src/model.ts';
import { visibleScan } from './acr-estate.ts';
import type { Estate } from './estate.ts';

/** A finding as Microsoft Defender for Cloud publishes it, in either of its models. */
export interface DefenderFinding {
  readonly digest: string;
  readonly finding: string;
  readonly severity: string;
  readonly fixable: boolean;
  readonly open: boolean;
  readonly at: string | null;
  /** Everything that the row says, in lower case, for filters by text. */
  readonly text: string;
  /** Key of the assessment that it is a part of; only in the model that was retired. */
  readonly key?: string;
}

const words: Readonly<Partial<Record<Severity, string>>> = {
  CRITICAL: 'Critical',
  HIGH: 'High',
  MEDIUM: 'Medium',
  LOW: 'Low',
  UNKNOWN: 'Unknown',
};

/** What Defender publishes of an estate's images: a row for each finding, none of images without any. */
export function defenderFindings(
  estate: Estate,
  options: {
    readonly loginServer: string;
    readonly resource: string;
    readonly model: 'individual' | 'grouped';
    /** Whether a row names the registry at all. */
    readonly named?: boolean;
  },
): DefenderFinding[] {
  const { loginServer, resource, model, named = true } = options;
  const rows: DefenderFinding[] = [];
  for (const repository of estate.repositories.values()) {
    const text = (named ? `${resource} ${loginServer} ${repository.name}` : repository.name).toLowerCase();
    for (const image of repository.images.values()) {
      const scan = visibleScan(image);
      for (const [severity, count] of Object.entries(scan?.counts ?? {}) as [Severity, number][])
        for (let number = 0; number < count; number += 1)
          rows.push({
            digest: image.digest,
            finding: `CVE-2026-${severity}-${number} openssl`,
            severity: words[severity] ?? severity,
            fixable: number < (scan?.fixable?.[severity] ?? 0),
            open: true,
            at: model === 'grouped' && scan?.at !== undefined ? new Date(scan.at * 1000).toISOString() : null,
            text,
            ...(model === 'grouped' && { key: 'c0b7cfc6-3172-465a-b378-53c7ff2cc0d5' }),
          });
    }
  }
  return rows;
}

export interface GraphRegistry {
  readonly id: string;
  readonly name: string;
  readonly resourceGroup: string;
  readonly subscriptionId: string;
  readonly loginServer: string;
}

/** What the tables hold, as far as whoever asks may see it: Resource Graph shows nothing of what he may not. */
export interface GraphTables {
  registries(): readonly GraphRegistry[];
  findings(): readonly DefenderFinding[];
  /** `Standard`, `Free`, or undefined where the plan cannot be seen. */
  plan(): string | undefined;
}

class QueryError extends Error {}

const literal = (text: string): string => text.replace(/\\(.)/g, '$1');
const literals = (text: string): string[] =>
  [...text.matchAll(/'((?:[^'\\]|\\.)*)'/g)].map(([, value = '']) => literal(value));
const lower = (texts: readonly string[]) => texts.map((text) => text.toLowerCase());

/** Only rows that a text filter lets pass: `tostring(properties) contains 'a' or …`. */
function filterOf(query: string): (row: DefenderFinding) => boolean {
  const filter = /\| where (tostring\(properties\) contains .*)/.exec(query)?.[1];
  if (filter === undefined) return () => true;
  const names = lower(literals(filter));
  return ({ text }) => names.some((name) => text.includes(name));
}

/** Counts as the query's own last `summarize` says, so that a severity that it forgets is missed. */
function summarize(query: string, rows: readonly DefenderFinding[]): Record<string, unknown>[] {
  const columns = [
    ...query.matchAll(/\b(\w+) = countif\(open and (fixable and )?(not\()?severity in~ \(([^)]*)\)/g),
  ].map(([, name = '', fixable, not, list = '']) => ({
    name,
    fixable: fixable !== undefined,
    not: not !== undefined,
    list: lower(literals(list)),
  }));
  if (columns.length === 0) throw new QueryError('the query counts nothing');
  const known = lower(literals(/iff\(severity in~ \(([^)]*)\)/.exec(query)?.[1] ?? ''));
  const unique = new Map<string, DefenderFinding>();
  for (const row of rows) unique.set(`${row.digest} ${row.finding}`, row);
  const byDigest = new Map<string, DefenderFinding[]>();
  for (const row of unique.values()) {
    const known = byDigest.get(row.digest);
    if (known) known.push(row);
    else byDigest.set(row.digest, [row]);
  }
  return [...byDigest].map(([id, findings]) => ({
    id,
    ...Object.fromEntries(
      columns.map(({ name, fixable, not, list }) => [
        name,
        findings.filter(
          (one) => one.open && (!fixable || one.fixable) && list.includes(one.severity.toLowerCase()) !== not,
        ).length,
      ]),
    ),
    at: findings.map(({ at }) => at).reduce((a, b) => (a === null || (b !== null && b > a) ? b : a), null),
    odd: [
      ...new Set(findings.map(({ severity }) => (known.includes(severity.toLowerCase()) ? '' : severity))),
    ],
  }));
}

function run(query: string, tables: GraphTables): Record<string, unknown>[] {
  // https://learn.microsoft.com/en-us/azure/governance/resource-graph/concepts/query-language: what there is of it.
  if (/mv-expand/.test(query) && !/mv-expand [^\n]* limit ([1-9]\d{0,2}|1\d{3}|2000)\b/.test(query))
    throw new QueryError('mv-expand needs a limit of at most 2000');
  if ([...query.matchAll(/\bunion\b/g)].length > 3) throw new QueryError('at most three legs of union');
  if (/^resources\b/.test(query)) {
    if (!/type =~ 'microsoft\.containerregistry\/registries'/.test(query))
      throw new QueryError('no such type here');
    const wanted = /properties\.loginServer =~ '([^']*)'/.exec(query)?.[1]?.toLowerCase();
    return tables
      .registries()
      .filter(({ loginServer }) => wanted === undefined || loginServer.toLowerCase() === wanted)
      .map((registry) => ({ ...registry }));
  }
  if (!/^securityresources\b/.test(query)) throw new QueryError('no such table');
  if (/microsoft\.security\/pricings/.test(query)) {
    const tier = tables.plan();
    return tier === undefined
      ? []
      : [{ id: '/subscriptions/x/providers/Microsoft.Security/pricings/Containers', tier }];
  }
  const individual =
    /type =~ 'microsoft\.security\/assessments'\n\| where properties\.metadata\.recommendationCategory =~ 'SoftwareUpdate'\n\| where properties\.resourceDetails\.ResourceType =~ '\.containerimage'/.test(
      query,
    );
  const keys = lower(
    literals(/\/assessments\/\(\[\^\/\]\+\)', 1, id\) in~ \(([^)]*)\)/.exec(query)?.[1] ?? ''),
  );
  const rows = tables
    .findings()
    .filter((row) => (row.key === undefined ? individual : keys.includes(row.key)))
    .filter(filterOf(query));
  return summarize(query, rows);
}

const skips = new Map<string, number>();

/** Answers a query as `POST /providers/Microsoft.ResourceGraph/resources` does. */
export function answerQuery(
  body: string,
  tables: GraphTables,
  options: {
    readonly pageRows?: number;
    /** Whether the service gives a token for the rest: it does so where the rows have an `id`, and not always. */
    readonly skipTokens?: boolean;
    readonly endless?: boolean;
  },
): { readonly status: number; readonly body: object } {
  const { pageRows = 1000, skipTokens = true } = options;
  const bad = (code: string, message: string) => ({ status: 400, body: { error: { code, message } } });
  const {
    query,
    subscriptions,
    options: asked = {},
  } = JSON.parse(body) as {
    query?: string;
    subscriptions?: string[];
    options?: { $top?: number; $skipToken?: string; resultFormat?: string };
  };
  if (typeof query !== 'string') return bad('InvalidQuery', 'query is required');
  const top = asked.$top ?? 100;
  if (!Number.isInteger(top) || top < 1 || top > 1000)
    return bad('InvalidOptions', '$top has to be from 1 to 1000');
  if (asked.resultFormat !== undefined && !['table', 'objectArray'].includes(asked.resultFormat))
    return bad('InvalidOptions', 'resultFormat is not known');
  let rows: Record<string, unknown>[];
  try {
    rows = run(query, tables);
  } catch (error) {
    if (error instanceof QueryError) return bad('InvalidQuery', error.message);
    throw error;
  }
  if (subscriptions)
    rows = rows.filter(
      ({ subscriptionId }) => !subscriptionId || subscriptions.includes(String(subscriptionId)),
    );
  const after = /\| where id > '([^']*)'/.exec(query)?.[1];
  rows = rows
    .filter(({ id }) => after === undefined || String(id) > after)
    .sort((a, b) => (String(a['id']) < String(b['id']) ? -1 : 1));
  const from = asked.$skipToken === undefined ? 0 : skips.get(asked.$skipToken);
  if (from === undefined) return bad('InvalidSkipToken', 'the skip token is not known');
  const size = Math.min(top, pageRows);
  const data = rows.slice(from, from + size);
  const more = from + size < rows.length;
  const token = Buffer.from(options.endless ? 'again' : `${Math.random()}`).toString('base64url');
  skips.set(token, options.endless ? 0 : from + size);
  return {
    status: 200,
    body: {
      totalRecords: rows.length,
      count: data.length,
      data,
      facets: [],
      resultTruncated: more && !skipTokens ? 'true' : 'false',
      ...((more || options.endless) && skipTokens && { $skipToken: token }),
    },
  };
}
