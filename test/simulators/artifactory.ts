import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AqlError, answerOf, find, type Item, parseAql } from './artifactory-aql.ts';
import {
  createDocuments,
  keyOf,
  keysOf,
  type Shelf,
  type SimulatedKey,
  shelve,
  storageOf,
  translated,
} from './artifactory-layout.ts';
import {
  filesOf,
  rowOf,
  type SimulatedViolation,
  statusOf,
  summaryOf,
  violationOrder,
} from './artifactory-xray.ts';
import type { Estate, EstateRepository } from './estate.ts';
import { applyFault, type FaultRule } from './faults.ts';

/**
 * A JFrog platform: Artifactory, Xray, Access and Router behind one address, as https://jfrog.com/help/r/jfrog-rest-apis
 * and https://jfrog.com/help/r/xray-rest-apis describe them. Nothing in it can be written to.
 */
export interface ArtifactorySimulatorOptions {
  readonly estate: Estate;
  readonly port?: number;
  /** A user that is no administrator is refused what only administrators may read. */
  readonly role?: 'administrator' | 'reader';
  /** `none`: no such service; `old`: before 3.54, without a list of scans. */
  readonly xray?: 'current' | 'old' | 'none';
  /** `service`: from 7.104.2 on, with a federation service of its own. */
  readonly federation?: 'classic' | 'service';
  /** Repositories that anybody may read. */
  readonly anonymous?: readonly string[];
  /** Items that this user may not see: they count for `limit` and `offset` all the same. */
  hides?(item: Item): boolean;
  /** The server's own limit of a search, as of the cloud. */
  readonly hardLimit?: number;
  /** How an answer says that it was cut; in words by default. */
  readonly saysLimit?: 'words' | 'number';
  readonly scansPerPage?: number;
  readonly endlessPaging?: 'same' | 'cycle';
}

export interface ArtifactorySimulator {
  readonly url: string;
  readonly faults: FaultRule[];
  readonly keys: SimulatedKey[];
  readonly username: string;
  readonly password: string;
  /** The access token that is valid now. */
  token(): string;
  /** Makes another token valid; the ones before go on for so long. */
  rotateToken(graceMs: number): string;
  /** Requests by operation. */
  readonly requests: Map<string, number>;
  /** Everything that was asked, one line each. */
  readonly asked: string[];
  readonly settings: ArtifactorySettings;
  /** What lies there besides the estate. */
  readonly extra: { readonly items: Item[]; readonly contents: Map<string, Buffer> };
  /** Called with each request that is about to be answered; tests change something then. */
  before?: (operation: string) => void;
  /** What is true of a repository `KEY/IMAGE`. */
  readonly truth: (repository: EstateRepository) => EstateRepository;
  close(): Promise<void>;
}

/** What an administrator set up; tests change it. */
export interface ArtifactorySettings {
  storage: Record<string, unknown>;
  licenses: unknown;
  /** Undefined in JFrog's cloud, which has none. */
  license: unknown;
  certificates: unknown;
  tokens: unknown;
  replications: readonly Record<string, unknown>[] | undefined;
  replicationStatus: Record<string, unknown>;
  mirrors: readonly Record<string, unknown>[];
  unavailable: readonly Record<string, unknown>[];
  health: { status: number; body: unknown };
  nodes: unknown;
  watches: readonly { readonly name: string; readonly active: boolean }[];
  violations: SimulatedViolation[];
  /** Watches whose violations are never answered. */
  hangingWatches: readonly string[];
}

/** What Artifactory answers in place of an answer. https://jfrog.com/help/r/jfrog-rest-apis/error-responses */
const error = (status: number, message: string): string => JSON.stringify({ errors: [{ status, message }] });
const htmlPage = (status: number): string =>
  `<html>\r\n<head><title>${status} Service Temporarily Unavailable</title></head>\r\n<body><center><h1>${status}</h1></center><hr><center>nginx</center></body>\r\n</html>`;

const only = (path: string, prefix: string): string | undefined =>
  path.startsWith(prefix) ? path.slice(prefix.length) : undefined;

interface Route {
  readonly operation: string;
  readonly key?: string;
  readonly admin?: boolean;
}

function route(method: string, path: string): Route | undefined {
  const gets: Readonly<Record<string, Route>> = {
    '/artifactory/api/repositories': { operation: 'repositories' },
    '/artifactory/api/repositories/configurations': { operation: 'configurations', admin: true },
    '/artifactory/api/storageinfo': { operation: 'storage', admin: true },
    '/artifactory/api/system/ping': { operation: 'ping' },
    '/artifactory/api/system/version': { operation: 'version' },
    '/artifactory/api/system/licenses': { operation: 'licenses', admin: true },
    '/artifactory/api/system/license': { operation: 'license', admin: true },
    '/artifactory/api/system/security/certificates': { operation: 'certificates', admin: true },
    '/artifactory/api/system/status': { operation: 'nodes', admin: true },
    '/artifactory/api/replications': { operation: 'replications', admin: true },
    '/artifactory/api/federation/status/mirrorsLag': { operation: 'mirrors', admin: true },
    '/artifactory/api/federation/status/unavailableMirrors': { operation: 'unavailable', admin: true },
    '/access/api/v1/tokens': { operation: 'tokens' },
    '/router/api/v1/system/health': { operation: 'health' },
    '/xray/api/v1/system/ping': { operation: 'xray_ping' },
    '/xray/api/v1/artifacts': { operation: 'xray_artifacts' },
    '/xray/api/v2/watches': { operation: 'xray_watches', admin: true },
  };
  const posts: Readonly<Record<string, Route>> = {
    '/artifactory/api/search/aql': { operation: 'aql' },
    '/xray/api/v1/artifact/status': { operation: 'xray_status' },
    '/xray/api/v1/summary/artifact': { operation: 'xray_summary' },
    '/xray/api/v2/summary/artifact': { operation: 'xray_summary' },
    '/xray/api/v1/violations': { operation: 'xray_violations' },
  };
  const fixed = (method === 'POST' ? posts : gets)[path];
  if (fixed || method !== 'GET') return fixed;
  for (const [prefix, operation, admin] of [
    ['/artifactory/api/repositories/', 'repository', false],
    ['/artifactory/api/storage/', 'storage_item', false],
    ['/artifactory/api/replication/', 'replication', false],
    ['/artifactory/api/federation/status/connectionStates/', 'connections', true],
  ] as const) {
    const key = only(path, prefix);
    if (key !== undefined) return { operation, key, admin };
  }
  const file = only(path, '/artifactory/');
  return file !== undefined && !file.startsWith('api/') ? { operation: 'manifest', key: file } : undefined;
}

const inThousandYears = 'Jan 5, 2027';

function usualSettings(): ArtifactorySettings {
  return {
    storage: {
      binariesSummary: {
        binariesCount: '125,726',
        binariesSize: '3.48 GB',
        artifactsSize: '59.77 GB',
        optimization: '5.82%',
        itemsCount: '2,176,580',
        artifactsCount: '2,084,408',
      },
      fileStoreSummary: {
        storageType: 'filesystem',
        storageDirectory: '/opt/jfrog/artifactory/var/data/artifactory/filestore',
        totalSpace: '204.28 GB',
        usedSpace: '32.22 GB (15.77%)',
        freeSpace: '172.06 GB (84.23%)',
      },
    },
    licenses: { licenses: [] },
    license: { type: 'Enterprise Plus', validThrough: inThousandYears, licensedTo: 'Example' },
    certificates: [],
    tokens: { tokens: [] },
    replications: undefined,
    replicationStatus: {},
    mirrors: [],
    unavailable: [],
    health: {
      status: 200,
      body: {
        router: { node_id: 'artifactory-0', state: 'HEALTHY', message: 'OK' },
        services: [
          { service_id: 'jfrt@01', node_id: 'artifactory-0', state: 'HEALTHY', message: 'OK' },
          { service_id: 'jfac@01', node_id: 'artifactory-0', state: 'HEALTHY', message: 'OK' },
        ],
      },
    },
    nodes: { nodes: [{ id: 'artifactory-0', state: 'RUNNING' }] },
    watches: [],
    violations: [],
    hangingWatches: [],
  };
}

/** Starts a simulator on the loopback interface. */
export async function startArtifactorySimulator(
  options: ArtifactorySimulatorOptions,
): Promise<ArtifactorySimulator> {
  const { estate } = options;
  const documents = createDocuments();
  const keys = keysOf(estate);
  const faults: FaultRule[] = [];
  const requests = new Map<string, number>();
  const asked: string[] = [];
  const settings = usualSettings();
  const extra = { items: [] as Item[], contents: new Map<string, Buffer>() };
  const username = 'exporter';
  const password = 's3cret-Passw0rd';
  const basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const tokens = new Map<string, number>();
  let made = 0;
  let current = '';
  let turn = 0;
  let url = '';

  const shelves = new Map<string, { readonly seen: string; readonly shelf: Shelf }>();
  /** What lies in a repository, made anew when the estate changed. */
  function shelfOf(key: SimulatedKey): Shelf {
    const seen = [...estate.repositories.values()]
      .filter(({ name }) => keyOf(name) === key.key)
      .map(({ name, images }) => {
        let sum = 0;
        for (const { pulledAt, tags } of images.values()) sum += (pulledAt ?? 0) + tags.length / 100;
        return `${name} ${images.size} ${sum} ${[...images.keys()].at(-1)}`;
      })
      .join();
    const kept = shelves.get(key.key);
    if (kept?.seen === seen) return kept.shelf;
    const shelf = shelve(estate, key, documents);
    shelves.set(key.key, { seen, shelf });
    return shelf;
  }

  const send = (
    response: ServerResponse,
    status: number,
    body: string | Buffer,
    type = 'application/json',
  ): void => {
    response.writeHead(status, { 'content-type': type, 'x-jfrog-version': 'Artifactory/7.117.3 81703900' });
    response.end(body);
  };
  const sendJson = (response: ServerResponse, value: unknown): void =>
    send(response, 200, JSON.stringify(value));
  const rotateToken = (graceMs: number): string => {
    if (current) tokens.set(current, performance.now() + graceMs);
    made += 1;
    current = `eyJ2ZXIiOiIyIn0-${made}-opaque-reference-token`;
    tokens.set(current, Number.POSITIVE_INFINITY);
    return current;
  };
  rotateToken(0);

  const known = (header: string | undefined): boolean =>
    header === basic || (tokens.get((header ?? '').replace(/^Bearer /, '')) ?? 0) > performance.now();

  /** The fault for what lies below a key is the fault of its listing. */
  const ruleOf = (storage: string): string | undefined => {
    const key = keys.find((one) => storageOf(one) === storage)?.key;
    return faults.find(({ repository }) => repository?.startsWith(`${key}/`))?.repository;
  };

  async function textOf(request: IncomingMessage): Promise<string> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    return Buffer.concat(pieces).toString('utf8');
  }

  function aql(response: ServerResponse, text: string): void {
    const query = parseAql(text);
    const reader = options.role === 'reader';
    if (reader && !['repo', 'path', 'name'].every((field) => query.include.includes(field)))
      throw new AqlError('For permissions reasons AQL demands the following fields: repo, path and name.');
    const all = keys
      // Artifactory answers a search of what does not exist with nothing.
      .flatMap((key) => {
        const repo = storageOf(key);
        if (!text.includes(JSON.stringify(repo))) return [];
        return [...shelfOf(key).items, ...extra.items.filter((item) => item.repo === repo)];
      });
    let found = find(all, query);
    if (options.endlessPaging && query.limit !== undefined && query.include.includes('sha256')) {
      turn += 1;
      const start = options.endlessPaging === 'cycle' && turn % 2 === 0 ? 1 : 0;
      const endless = found.length > 0 ? found : [fallback(text)];
      found = Array.from({ length: query.limit }, (_, at) => endless[(at + start) % endless.length] as Item);
    } else {
      const from = query.offset ?? 0;
      found = found.slice(from, query.limit === undefined ? undefined : from + query.limit);
    }
    const trimmed = options.hardLimit !== undefined && found.length > options.hardLimit;
    if (trimmed) found = found.slice(0, options.hardLimit);
    // Permissions come after the limit.
    const seen = found.filter((item) => !options.hides?.(item));
    sendJson(response, {
      results: seen.map((item) => answerOf(item, query.include)),
      range: {
        start_pos: 0,
        end_pos: seen.length,
        total: seen.length,
        ...(query.limit !== undefined && { limit: query.limit }),
        ...(trimmed && options.saysLimit === 'number' && { limit: options.hardLimit }),
        ...(trimmed &&
          options.saysLimit !== 'number' && {
            notification: 'AQL query reached the search hard limit, results are trimmed.',
          }),
      },
    });
  }
  const fallback = (text: string): Item => ({
    repo: /"repo":"([^"]+)"/.exec(text)?.[1] ?? '',
    path: 'ghost/1.0',
    name: 'manifest.json',
    size: 500,
    sha256: '0'.repeat(64),
    created: '2026-01-01T00:00:00.000Z',
    modified: '2026-01-01T00:00:00.000Z',
  });

  function storage(): unknown {
    const rows = keys.map((key) => {
      const { items } = shelfOf(key);
      const bytes = items.reduce((sum, { size }) => sum + size, 0);
      return {
        repoKey: storageOf(key),
        repoType: key.type === 'REMOTE' ? 'CACHE' : key.type,
        foldersCount: 4,
        filesCount: items.length,
        usedSpace: `${(bytes / 2 ** 20).toFixed(2)} MB`,
        // Newer ones tell it exactly.
        usedSpaceInBytes: bytes,
        itemsCount: items.length + 4,
        packageType: key.packageType,
        projectKey: 'default',
        percentage: '1.5%',
      };
    });
    return {
      ...settings.storage,
      repositoriesSummaryList: [...rows, { repoKey: 'TOTAL', repoType: 'NA', usedSpace: '60 GB' }],
    };
  }

  function xray(operation: string, response: ServerResponse, query: URLSearchParams, text: string): void {
    const files = filesOf(estate, keys, documents);
    if (operation === 'xray_ping') return send(response, 200, '{"status":"pong"}');
    if (operation === 'xray_watches')
      return sendJson(
        response,
        settings.watches.map(({ name, active }) => ({
          general_data: { id: name, name, active },
          assigned_policies: [],
        })),
      );
    if (operation === 'xray_artifacts') {
      if (options.xray === 'old') return send(response, 404, '404 page not found', 'text/plain');
      const repo = query.get('repo');
      if (!repo) return send(response, 400, '{"error":"repo is mandatory"}');
      if (Number(query.get('num_of_rows')) > 1000)
        return send(response, 500, '{"error":"failed to get artifacts"}');
      const rows = files.filter((file) => file.repo === repo && file.image.scan.status === 'complete');
      const size = Math.min(options.scansPerPage ?? 1000, Number(query.get('num_of_rows') ?? 10));
      const from = Number(query.get('offset') ?? 0);
      const page = rows.slice(from, from + size);
      return sendJson(response, {
        data: page.map(rowOf),
        offset: from + size < rows.length ? from + size : -1,
      });
    }
    const body = JSON.parse(text) as Record<string, unknown>;
    if (operation === 'xray_status') {
      const file = files.find(({ repo, path }) => repo === body['repo'] && path === body['path']);
      if (!file) return send(response, 404, '{"error":"artifact not found"}');
      const { at, status } = file.image.scan;
      const state = {
        status: statusOf(file.image),
        ...(status === 'complete' && { time: new Date((at ?? 0) * 1000).toISOString() }),
      };
      return sendJson(response, { overall: state, details: { sca: state } });
    }
    if (operation === 'xray_summary') {
      const checksums = (body['checksums'] ?? []) as string[];
      const scanned = checksums.flatMap((sha256) => {
        const file = files.find((one) => one.sha256 === sha256 && one.image.scan.status === 'complete');
        return file ? [file] : [];
      });
      const errors = checksums
        .filter((sha256) => !scanned.some((one) => one.sha256 === sha256))
        .map((identifier) => ({
          identifier,
          error: "Artifact doesn't exist or not indexed/cached in Xray",
        }));
      // An empty list is left out.
      return sendJson(response, {
        ...(scanned.length > 0 && { artifacts: scanned.map(summaryOf) }),
        ...(errors.length > 0 && { errors }),
      });
    }
    const { filters = {}, pagination = {} } = body as {
      filters?: { watch_name?: string; min_severity?: (typeof violationOrder)[number] };
      pagination?: { limit?: number; offset?: number };
    };
    // Without a watch it may never answer.
    if (filters.watch_name === undefined || settings.hangingWatches.includes(filters.watch_name)) return;
    const least = violationOrder.indexOf(filters.min_severity ?? 'Unknown');
    const found = settings.violations.filter(
      ({ watch, severity }) => watch === filters.watch_name && violationOrder.indexOf(severity) <= least,
    );
    const { limit = 25, offset = 1 } = pagination;
    sendJson(response, {
      ...(found.length > 0 && { total_violations: found.length }),
      violations: found.slice((offset - 1) * limit, offset * limit).map((one) => ({
        description: 'A weakness',
        type: 'Security',
        watch_name: one.watch,
        severity: one.severity,
      })),
    });
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', url);
    const path = decodeURIComponent(pathname);
    const method = request.method ?? 'GET';
    asked.push(`${method} ${path}`);
    const found = route(method, path);
    if (!found || (options.xray === 'none' && path.startsWith('/xray/')))
      return send(response, 404, error(404, 'Not Found'));
    const text = method === 'POST' ? await textOf(request) : '';
    let { operation } = found;
    let repository: string | undefined;
    if (operation === 'aql') {
      if (text.includes('"stat.')) operation = 'aql_stats';
      else if (text.includes('"property"')) operation = 'aql_properties';
      else if (text.includes('sha256__')) operation = 'aql_blobs';
      repository = ruleOf(/"repo":"([^"]+)"/.exec(text)?.[1] ?? '');
    }
    requests.set(operation, (requests.get(operation) ?? 0) + 1);
    simulator.before?.(operation);
    for (const rule of faults)
      if (rule.fault.type === 'status' && rule.fault.body === undefined) {
        const { status } = rule.fault;
        // What is unavailable is told by the proxy before it.
        const byProxy = status === 502 || status === 503;
        Object.assign(rule, {
          fault: {
            ...rule.fault,
            body: byProxy ? htmlPage(status) : error(status, 'simulated'),
            contentType: byProxy ? 'text/html' : 'application/json',
          },
        });
      }
    if (
      await applyFault(faults, { operation, repository }, request, response, error(429, 'Too Many Requests'))
    )
      return;
    const { authorization } = request.headers;
    if (operation === 'health')
      return send(response, settings.health.status, JSON.stringify(settings.health.body));
    if (authorization === undefined) {
      const [key] = (found.key ?? '').split('/');
      const open = options.anonymous ?? [];
      if (open.length > 0 && operation === 'repositories') return sendJson(response, []);
      if (operation === 'storage_item' && open.some((one) => one === key))
        return sendJson(response, { children: [] });
      return send(response, 401, error(401, 'Authentication is required'));
    }
    if (!known(authorization)) return send(response, 401, error(401, 'Token failed verification: expired'));
    if (found.admin && options.role === 'reader') return send(response, 403, error(403, 'Forbidden'));
    if (operation.startsWith('xray_')) return xray(operation, response, searchParams, text);
    switch (operation) {
      case 'repositories':
        return sendJson(
          response,
          keys.map(({ key, type, packageType }) => ({
            key,
            type,
            url: `${url}/artifactory/${key}`,
            packageType,
          })),
        );
      case 'configurations': {
        const lists: Record<string, object[]> = {};
        for (const { key, type, packageType, xrayIndex, maxUniqueTags } of keys) {
          if (!['Docker', 'OCI', 'HelmOCI'].includes(packageType)) continue;
          lists[type] ??= [];
          lists[type].push({
            key,
            rclass: type.toLowerCase(),
            packageType: packageType.toLowerCase(),
            xrayIndex,
            ...(type !== 'REMOTE' && { maxUniqueTags }),
          });
        }
        return sendJson(response, lists);
      }
      case 'repository':
        return keys.some(({ key }) => key === found.key)
          ? sendJson(response, { key: found.key })
          : send(response, 400, error(400, 'Bad Request'));
      case 'storage':
        return sendJson(response, storage());
      case 'ping':
        return send(response, 200, 'OK', 'text/plain');
      case 'version':
        return sendJson(response, { version: '7.111.4', revision: '81104900', addons: [], license: '5b1c' });
      case 'license':
        return settings.license === undefined
          ? send(response, 400, error(400, 'Artifactory Online does not require license'))
          : sendJson(response, settings.license);
      case 'licenses':
      case 'certificates':
      case 'tokens':
      case 'nodes':
        return sendJson(response, settings[operation]);
      case 'replications':
        return settings.replications
          ? sendJson(response, settings.replications)
          : send(response, 404, error(404, 'No replication configurations were found'));
      case 'replication':
        return sendJson(
          response,
          settings.replicationStatus[found.key ?? ''] ?? { status: 'never_run', lastCompleted: null },
        );
      case 'mirrors':
      case 'unavailable':
        return options.federation === 'service'
          ? send(response, 404, error(404, 'Not supported by the federation service'))
          : sendJson(response, settings[operation]);
      case 'connections':
        return options.federation === 'service'
          ? sendJson(response, {
              memberConnections: settings.mirrors.filter((one) => one['localRepoKey'] === found.key),
            })
          : send(response, 404, error(404, 'Not Found'));
      case 'storage_item':
        return sendJson(response, { children: [] });
      case 'manifest': {
        if (searchParams.get('skipUpdateStats') !== 'true')
          return send(response, 500, error(500, 'this would count as a pull'));
        const [repo = ''] = (found.key ?? '').split('/');
        const key = keys.find((one) => storageOf(one) === repo);
        const content =
          extra.contents.get(found.key ?? '') ?? (key && shelfOf(key).contents.get(found.key ?? ''));
        return content
          ? send(response, 200, content, 'application/octet-stream')
          : send(response, 404, error(404, 'File not found.'));
      }
      default:
        if (request.headers['content-type'] !== 'text/plain')
          return send(response, 415, error(415, 'Unsupported Media Type'));
        return aql(response, text);
    }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((failure: unknown) => {
      if (response.headersSent) response.destroy();
      else if (failure instanceof AqlError) send(response, 400, error(400, failure.message));
      else send(response, 500, error(500, String(failure)));
    });
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const simulator: ArtifactorySimulator = {
    url,
    faults,
    keys,
    username,
    password,
    token: () => current,
    rotateToken,
    requests,
    asked,
    settings,
    extra,
    truth: (repository) => translated(repository, documents),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return simulator;
}
