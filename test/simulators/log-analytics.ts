import { type AzureServer, startAzureServer, type Tls } from './azure-server.ts';

/** A request that a registry logged, as rows of `ContainerRegistryRepositoryEvents` have it. */
export interface LoggedRequest {
  /** RFC 3339 with up to seven digits of a second, as the service writes times. */
  readonly time: string;
  /** When it can be queried, milliseconds; at once when absent. */
  readonly shownAt?: number;
  readonly operation?: string;
  readonly status?: string | null;
  readonly repository?: string;
  readonly tag?: string;
  readonly digest?: string;
  readonly identity?: string;
  readonly correlation?: string;
}

/** A workspace that a diagnostic setting of the registry sends to. */
export interface Workspace {
  readonly name: string;
  /** Whether the identity may query it. */
  readable: boolean;
  deniedTables?: string[];
}

export interface LogAnalytics extends AzureServer {
  readonly rows: LoggedRequest[];
  readonly workspaces: Workspace[];
  /** Queries as they came, the oldest first. */
  readonly queries: string[];
  /** Whether the identity may read the registry's logs at all. */
  mayRead: boolean;
  /** Rows that are answered before the service gives up, with a part of the result. */
  rowsAtMost: number;
  /** What there is instead of rows: no data in the workspace at all, or no such table in it. */
  lacks: 'data' | 'table' | undefined;
  /** Whether `permissions` are told when they are asked for. */
  tellsPermissions: boolean;
}

const table = 'ContainerRegistryRepositoryEvents';

type Cells = Readonly<Record<string, string | number | null>>;

/** As the registry writes what a request does not have. */
const nil = '<nil>';

function cellsOf(one: LoggedRequest, resource: string): Cells {
  const { time, operation = 'Push', status = '403', repository = nil, tag = nil, digest = nil } = one;
  return {
    TimeGenerated: time,
    OperationName: operation,
    Identity: one.identity ?? '',
    ResultType: 'HttpStatusCode',
    ResultDescription: status,
    DurationMs: '38.212784',
    CallerIpAddress: '203.0.113.18',
    CorrelationId: one.correlation ?? '',
    Repository: repository,
    Tag: tag,
    Digest: digest,
    MediaType: nil,
    ArtifactType: 'acr.docker',
    LoginServer: 'prod.azurecr.io',
    UserAgent: 'docker/27.3.1 go/go1.22.7',
    Region: 'westeurope',
    Type: table,
    _ResourceId: resource,
  };
}

/** A moment with all seven digits, so that texts compare as times do. */
function moment(text: string): string {
  const [, second = '', fraction = ''] = /^(.{19})(?:\.(\d{1,7}))?Z$/.exec(text) ?? [];
  return `${second}.${fraction.padEnd(7, '0')}`;
}

class Refused extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

function cellOf(row: Cells, column: string): string | number | null {
  const value = row[column];
  if (value === undefined)
    throw new Refused(
      'SemanticError',
      `A semantic error occurred. 'where' operator: Failed to resolve column or scalar expression named '${column}'`,
    );
  return value;
}

function holds(row: Cells, condition: string): boolean {
  const [, column = '', operator, time] =
    /^(\w+) (>=|<) datetime\((\d{4}-\d\d-\d\dT[\d:.]+Z)\)$/.exec(condition) ?? [];
  if (time !== undefined) {
    const at = moment(String(cellOf(row, column)));
    return operator === '<' ? at < moment(time) : at >= moment(time);
  }
  const [, named = '', wanted] = /^(\w+) =~ '([^']*)'$/.exec(condition) ?? [];
  if (wanted !== undefined) return String(cellOf(row, named)).toLowerCase() === wanted.toLowerCase();
  const [, absent] = /^isnull\((\w+)\)$/.exec(condition) ?? [];
  if (absent !== undefined) return cellOf(row, absent) === null;
  const [, number = '', least] = /^(\w+) >= (\d+)$/.exec(condition) ?? [];
  if (least === undefined) throw new Refused('SyntaxError', `Syntax Error: ${condition}`);
  const value = cellOf(row, number);
  return typeof value === 'number' && value >= Number(least);
}

/** The stages of Kusto's language that are needed here. https://learn.microsoft.com/en-us/kusto/query/ */
function stage(rows: readonly Cells[], text: string): readonly Cells[] {
  const [, conditions] = /^where (.+)$/.exec(text) ?? [];
  if (conditions !== undefined)
    return rows.filter((row) =>
      conditions.split(' and ').every((all) => all.split(' or ').some((one) => holds(row, one))),
    );
  const [, name = '', of = ''] = /^extend (\w+) = toint\((\w+)\)$/.exec(text) ?? [];
  if (name)
    return rows.map((row) => {
      const value = cellOf(row, of);
      const isInt = /^-?\d+$/.test(String(value));
      return { ...row, [name]: isInt ? Number(value) : null };
    });
  const [, most, by = ''] = /^top (\d+) by (\w+) asc$/.exec(text) ?? [];
  if (most !== undefined)
    return rows
      .map((row) => ({ row, at: moment(String(cellOf(row, by))) }))
      .sort((one, other) => (one.at < other.at ? -1 : Number(one.at > other.at)))
      .slice(0, Number(most))
      .map(({ row }) => row);
  const [, columns] = /^project ([\w, ]+)$/.exec(text) ?? [];
  if (columns === undefined) throw new Refused('SyntaxError', `Syntax Error: ${text}`);
  return rows.map((row) =>
    Object.fromEntries(columns.split(', ').map((column) => [column, cellOf(row, column)])),
  );
}

const errorBody = (code: string, message: string, inner?: { code: string; message: string }): string =>
  JSON.stringify({ error: { message, code, ...(inner && { innererror: inner }) } });

/**
 * Log Analytics' query API for a registry as a resource.
 * https://learn.microsoft.com/azure/azure-monitor/logs/api/azure-resource-queries, `…/errors` and `…/response-format`; rows
 * as they were recorded: docs/providers/acr.md, "Checked against".
 */
export async function startLogAnalytics(options: {
  /** Whether a token is good for the API. */
  accepts(authorization: string | undefined): boolean;
  /** The registry's resource id. */
  readonly resource: string;
  readonly tls?: Tls;
}): Promise<LogAnalytics> {
  const state = {
    rows: [] as LoggedRequest[],
    workspaces: [{ name: 'logs', readable: true }] as Workspace[],
    queries: [] as string[],
    mayRead: true,
    rowsAtMost: Number.POSITIVE_INFINITY,
    lacks: undefined as LogAnalytics['lacks'],
    tellsPermissions: true,
  };
  const idOf = ({ name }: Workspace): string =>
    `/subscriptions/s/resourceGroups/logs/providers/Microsoft.OperationalInsights/workspaces/${name}`;
  const reads = (workspace: Workspace): boolean =>
    workspace.readable && !workspace.deniedTables?.includes(table);

  function result(query: string, now: number): readonly Cells[] {
    const [from = '', ...stages] = query.split('\n| ');
    if (from !== table || state.lacks === 'table')
      throw new Refused(
        'SemanticError',
        `A semantic error occurred. 'where' operator: Failed to resolve table or column expression named '${from}'`,
      );
    const shown = state.rows.filter(({ shownAt = 0 }) => shownAt <= now);
    // Each workspace has a copy of its own.
    const rows = state.workspaces
      .filter(reads)
      .flatMap(() => shown.map((one) => cellsOf(one, options.resource)));
    return stages.reduce(stage, rows);
  }

  const permissions = () => ({
    resources: [{ resourceId: options.resource, dataSources: state.workspaces.map(idOf) }],
    dataSources: state.workspaces
      .filter(({ readable }) => readable)
      .map((workspace) => ({
        resourceId: idOf(workspace).toLowerCase(),
        ...(workspace.deniedTables && { denyTables: workspace.deniedTables }),
      })),
  });

  const server = await startAzureServer({
    tls: options.tls,
    error: errorBody,
    route: (method, path) =>
      method === 'POST' && /^\/v1\/subscriptions\/.+\/query$/.test(path)
        ? { operation: 'push_log' }
        : undefined,
    answer({ path, body, authorization, header, send }) {
      const denied = 'The provided credentials have insufficient access to perform the requested operation';
      if (authorization === undefined)
        return send(401, errorBody('AuthenticationFailed', "The 'Authorization' header is missing."));
      if (!options.accepts(authorization))
        return send(403, errorBody('InvalidAuthenticationToken', 'The access token is invalid.'));
      if (path.toLowerCase() !== `/v1${options.resource}/query`.toLowerCase())
        return send(404, errorBody('ResourceNotFoundError', `The resource ${path} was not found`));
      if (!state.mayRead)
        return send(
          403,
          errorBody('InsufficientAccessError', denied, {
            code: 'AuthorizationFailedError',
            message: "User 'x' does not have access to read logs for this resource",
          }),
        );
      if (!header('content-type')?.startsWith('application/json')) return send(200, '');
      if (state.lacks === 'data') return send(204, '');
      const { query, timespan } = JSON.parse(body) as { query: string; timespan?: string };
      state.queries.push(query);
      try {
        const [from = '', to = ''] = timespan?.split('/') ?? [];
        const all = result(query, Date.now()).filter(
          ({ TimeGenerated: at }) =>
            !timespan || (moment(String(at)) >= moment(from) && moment(String(at)) <= moment(to)),
        );
        const columns = /\| project ([\w, ]+)$/.exec(query)?.[1]?.split(', ') ?? [];
        const rows = all.slice(0, state.rowsAtMost);
        const asks = header('prefer')?.includes('include-permissions=true') && state.tellsPermissions;
        send(200, {
          tables: [
            {
              name: 'PrimaryResult',
              columns: columns.map((name) => ({
                name,
                type: name === 'TimeGenerated' ? 'datetime' : 'string',
              })),
              rows: rows.map((row) => columns.map((name) => row[name])),
            },
          ],
          ...(rows.length < all.length && {
            error: {
              code: 'PartialError',
              message: 'There were some errors when processing your query.',
              details: [{ code: 'EngineError', message: 'Something went wrong processing your query.' }],
            },
          }),
          ...(asks && { permissions: permissions() }),
        });
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        send(
          400,
          errorBody('BadArgumentError', 'The request had some invalid properties', {
            code: error.code,
            message: error.message,
          }),
        );
      }
    },
  });
  return Object.assign(state, server);
}
