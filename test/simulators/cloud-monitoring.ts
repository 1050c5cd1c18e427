import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Requests of one minute, as Cloud Monitoring counts them: a point of a series. */
export interface RequestCount {
  /** The end of the minute, Unix seconds. */
  readonly end: number;
  readonly count: number;
  readonly method: string;
  /** Absent: the metric has no such label. */
  readonly code?: string;
  readonly location: string;
  readonly repository: string;
}

const metric = 'artifactregistry.googleapis.com/repository/request_count';
const iso = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

/** Values of `name = "value"` and of `name = one_of("a", "b")` in a filter. */
function allowed(filter: string, name: string): readonly string[] | undefined {
  const [, one, several] =
    new RegExp(`${name.replaceAll('.', '\\.')} = (?:"([^"]*)"|one_of\\(([^)]*)\\))`).exec(filter) ?? [];
  if (one !== undefined) return [one];
  return several === undefined ? undefined : JSON.parse(`[${several}]`);
}

/**
 * Cloud Monitoring, as far as `projects.timeSeries.list` reads one metric: newest points first, a page of so many points,
 * a series that goes on on the next page.
 * https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list
 */
export async function startCloudMonitoring(project: string) {
  const state = {
    counts: [] as RequestCount[],
    permitted: true,
    /** What is missing of the answer. */
    executionErrors: undefined as readonly object[] | undefined,
    asked: 0,
    /** Points of a page, where that is less than was asked for. */
    pageSize: Number.POSITIVE_INFINITY,
  };
  const series = ({ end, count, method, code, location, repository }: RequestCount): object => ({
    metric: {
      type: metric,
      labels: { method, type: 'WRITE', ...(code !== undefined && { response_code: code }) },
    },
    resource: {
      type: 'artifactregistry.googleapis.com/Repository',
      labels: { resource_container: project, location, repository_id: repository },
    },
    metricKind: 'DELTA',
    valueType: 'INT64',
    points: [
      { interval: { startTime: iso(end - 60), endTime: iso(end) }, value: { int64Value: String(count) } },
    ],
  });

  function listed(query: URLSearchParams): object {
    const filter = query.get('filter') ?? '';
    const [from, to] = ['interval.startTime', 'interval.endTime'].map(
      (name) => Date.parse(query.get(name) ?? '') / 1000,
    );
    const methods = allowed(filter, 'metric.labels.method');
    const locations = allowed(filter, 'resource.labels.location');
    const types = allowed(filter, 'metric.type');
    const found = state.counts
      .filter(({ end, method, location }) => {
        const isWithin = from !== undefined && to !== undefined && end > from && end <= to;
        const isMeant = (methods?.includes(method) ?? true) && (locations?.includes(location) ?? true);
        return isWithin && isMeant && types?.includes(metric);
      })
      .sort((a, b) => b.end - a.end);
    const start = Number(query.get('pageToken') ?? 0);
    const end = start + Math.min(state.pageSize, Number(query.get('pageSize')));
    // An empty list is left out, as proto3 has it.
    return {
      ...(found.length > 0 && { timeSeries: found.slice(start, end).map(series) }),
      nextPageToken: end < found.length ? String(end) : '',
      ...(state.executionErrors && { executionErrors: state.executionErrors }),
      unit: '1',
    };
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost');
    const send = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8' });
      response.end(JSON.stringify(body));
    };
    if (request.method !== 'GET' || url.pathname !== `/v3/projects/${project}/timeSeries`)
      return send(404, {
        error: { code: 404, status: 'NOT_FOUND', message: 'Requested entity was not found.' },
      });
    state.asked += 1;
    if (!state.permitted)
      return send(403, {
        error: {
          code: 403,
          status: 'PERMISSION_DENIED',
          message: 'Permission monitoring.timeSeries.list denied (or the resource may not exist).',
        },
      });
    if (!Number.isFinite(Date.parse(url.searchParams.get('interval.endTime') ?? '')))
      return send(400, {
        error: {
          code: 400,
          status: 'INVALID_ARGUMENT',
          message: 'Field interval.endTime had an invalid value: must be set.',
        },
      });
    send(200, listed(url.searchParams));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    state,
    close: () => {
      server.closeAllConnections();
      return new Promise<unknown>((resolve) => server.close(resolve));
    },
  };
}
