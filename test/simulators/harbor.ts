import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EstateImage, EstateRepository } from './estate.ts';
import { applyFault, type FaultRule } from './faults.ts';
import { type ArtifactContext, asStored, childrenOf, isAccessory, toArtifact } from './harbor-wire.ts';
import type { HarborAccount, HarborProject, HarborWorld } from './harbor-world.ts';

/**
 * Harbor's API over an estate: https://github.com/goharbor/harbor/blob/main/api/v2.0/swagger.yaml, and where that is
 * silent the handlers in `src/server/v2.0/handler`. As there, wrong credentials are those of nobody: what is public
 * is shown.
 */
export interface HarborSimulatorOptions {
  readonly world: HarborWorld;
  readonly port?: number;
  /** Where Harbor lies under a path of its host; `Link` does not know of it. */
  readonly pathPrefix?: string;
  /** What a proxy in front leaves out. */
  readonly withoutHeaders?: readonly ('link' | 'x-total-count')[];
  /** Pages are shorter than was asked for, as something in front may have it. */
  readonly largestPage?: number;
  /** Lists without an element are `null`, as Go writes a list that nobody made. */
  readonly nullLists?: boolean;
  readonly endlessPaging?: 'same' | 'cycle';
  /** Does not tell its version, as a proxy in front may have it. */
  readonly hidesVersion?: boolean;
  /** Ignores what is asked of the order and the base of a listing, as something that is only like Harbor may. */
  readonly ignoresQuery?: boolean;
  /** How long an answer takes, milliseconds. */
  latency?(operation: string, rowsBefore: number, rows: number): number;
}

export interface HarborSimulator {
  readonly url: string;
  readonly port: number;
  readonly world: HarborWorld;
  readonly faults: FaultRule[];
  /** Requests by operation since the last reset. */
  readonly requests: Map<string, number>;
  /** Sessions that were begun for requests without a cookie. */
  sessions(): number;
  deleteRepository(name: string): void;
  close(): Promise<void>;
}

/** https://github.com/goharbor/harbor/blob/main/src/lib/http/error.go */
const codes: Readonly<Record<number, string>> = {
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  412: 'PRECONDITION',
  422: 'UNPROCESSABLE_ENTITY',
  429: 'TOO_MANY_REQUEST',
  500: 'UNKNOWN',
};
class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
const errorBody = (status: number, message: string): string =>
  JSON.stringify({ errors: [{ code: codes[status] ?? 'UNKNOWN', message }] });

/** Go's `omitempty`. */
const withoutZeros = <T extends object>(given: T, ...fields: (keyof T)[]): Partial<T> =>
  Object.fromEntries(
    Object.entries(given).filter(([name, value]) => value !== 0 || !fields.includes(name as keyof T)),
  ) as Partial<T>;

interface Asked {
  readonly account: HarborAccount | undefined;
  readonly query: URLSearchParams;
  /** `k=v` of the parameter `q`. */
  readonly q: ReadonlyMap<string, string>;
  readonly accepts: string;
  /** Path parameters. */
  readonly params: readonly string[];
}
/** A list is paged, and what a page shows is made of its rows; anything else is sent as it is. */
type Answer = { readonly list: readonly object[]; readonly show?: (row: never) => object } | object | null;

interface Route {
  readonly operation: string;
  readonly pattern: RegExp;
  readonly since?: number;
  answer(asked: Asked): Answer;
}

export async function startHarborSimulator(options: HarborSimulatorOptions): Promise<HarborSimulator> {
  const { world, pathPrefix = '', withoutHeaders = [], endlessPaging } = options;
  const faults: FaultRule[] = [];
  const requests = new Map<string, number>();
  const ids = new Map<string, number>();
  let turn = 0;
  let sessions = 0;
  let quotaPages = 0;

  const idOf = (repository: string, digest: string): number => {
    const key = `${repository}@${digest}`;
    const id = ids.get(key) ?? ids.size + 1;
    ids.set(key, id);
    return id;
  };
  const minor = (): number => Number(world.version.split('.')[1]);
  /** No robot account can be allowed to list accounts before 2.12. */
  const isRefused = ({ account }: Asked, permission: string): boolean =>
    !account?.sysadmin &&
    (!account?.permissions.has(permission) ||
      (account.kind === 'robot' && minor() < 12 && /(?:robot|member):list$/.test(permission)));
  /** `RequireSystemAccess` */
  const needs = (asked: Asked, permission: string): void => {
    if (!asked.account) throw new Refusal(401, 'unauthorized');
    if (isRefused(asked, permission)) throw new Refusal(403, asked.account.username);
  };
  const sees = ({ account }: Asked, project: HarborProject): boolean =>
    project.public ||
    (account !== undefined && (account.projects === undefined || account.projects.includes(project.name)));
  const isMember = ({ account }: Asked, project: HarborProject): boolean =>
    account !== undefined &&
    (account.sysadmin || account.projects === undefined || account.projects.includes(project.name));
  /** `RequireProjectAccess`: who may not see a project is not told whether there is one. */
  function projectOf(asked: Asked, name: string | undefined, permission: string): HarborProject {
    const found = world.projects.find((one) => one.name === name);
    const allowed =
      found &&
      (isMember(asked, found)
        ? !isRefused(asked, `project/${permission}`)
        : // src/common/rbac/project/const.go: what everybody may do in a public project.
          found.public && /^(artifact|repository):list$/.test(permission));
    if (allowed) return found;
    if (!asked.account) throw new Refusal(401, 'unauthorized');
    if (asked.account.sysadmin) throw new Refusal(404, `project ${name} not found`);
    throw new Refusal(403, 'forbidden');
  }
  const visible = (asked: Asked): HarborProject[] => world.projects.filter((one) => sees(asked, one));
  const repositoriesOf = (project: string): EstateRepository[] =>
    [...world.estate.repositories.values()].filter(({ name }) => name.startsWith(`${project}/`));
  const byName = <T extends { readonly name: string }>(list: readonly T[]): T[] =>
    list.toSorted((a, b) => (a.name < b.name ? -1 : 1));

  const count = (repository: EstateRepository): number => base(repository, false).length;
  /** `q=base=*` takes the manifests that an index lists too; accessories are never listed by themselves. */
  function base(given: EstateRepository, everything: boolean): EstateImage[] {
    const { images } = asStored(given);
    const children = new Set([...images.values()].flatMap(childrenOf));
    return [...images.values()].filter(
      (image) => !isAccessory(image) && (everything || image.tags.length > 0 || !children.has(image.digest)),
    );
  }

  function artifacts(asked: Asked, project: HarborProject, repositories: readonly EstateRepository[]) {
    const { query, q, accepts } = asked;
    const on = (name: string, otherwise = 'false') => (query.get(name) ?? otherwise) === 'true';
    const rows = repositories.map(asStored).flatMap((repository) => {
      // Ids rise with the pushes.
      for (const digest of repository.images.keys()) idOf(repository.name, digest);
      return base(repository, q.get('base') === '*' && !options.ignoresQuery).map((image) => ({
        repository,
        image,
        id: idOf(repository.name, image.digest),
      }));
    });
    const keys = options.ignoresQuery ? [] : (query.get('sort') ?? '').split(',').filter(Boolean);
    if (keys.length === 0) rows.sort((a, b) => b.image.pushedAt - a.image.pushedAt || b.id - a.id);
    else
      rows.sort((a, b) => {
        for (const key of keys) {
          if (key === 'repository_name' && a.repository.name !== b.repository.name)
            return a.repository.name < b.repository.name ? -1 : 1;
          if (key === 'id' && a.id !== b.id) return a.id - b.id;
        }
        return 0;
      });
    const flags = {
      tag: on('with_tag', 'true'),
      overview: on('with_scan_overview'),
      accessory: on('with_accessory'),
    };
    const scannable = scannerOf(project)?.up === true;
    return {
      list: rows,
      show: ({ repository, image }: (typeof rows)[number]) =>
        toArtifact(image, {
          repository,
          projectId: project.project_id,
          repositoryId: repositoryId(repository.name),
          idOf,
          scannable,
          accepts,
          flags,
          namesRepository: minor() >= 12,
        } satisfies ArtifactContext),
    };
  }
  /** Disabled ones too: src/controller/scanner/base_controller.go */
  const scannerOf = (project: HarborProject) =>
    world.scanners.find(({ name }) => name === project.scanner) ?? world.scanners[0];
  const repositoryId = (name: string): number => idOf(name, '');
  const toRepository = (repository: EstateRepository): object => ({
    id: repositoryId(repository.name),
    project_id: world.projects.find(({ name }) => repository.name.startsWith(`${name}/`))?.project_id ?? 0,
    name: repository.name,
    description: '',
    artifact_count: count(repository),
    pull_count: repository.pulls,
    creation_time: new Date(repository.createdAt * 1000).toISOString(),
    update_time: new Date(repository.createdAt * 1000).toISOString(),
  });
  /**
   * By the time of creation only: of equal times each page has an order of its own, as PostgreSQL gives them.
   * src/pkg/quota/dao/util.go
   */
  function quotaRows(id: string | null): HarborProject[] {
    const rows = world.projects.filter((one) => id === null || String(one.project_id) === id);
    quotaPages += 1;
    const place = ({ project_id }: HarborProject) => (project_id * 7 + quotaPages * 13) % 31;
    return rows.toSorted(
      (a, b) => (b.createdAt ?? -b.project_id) - (a.createdAt ?? -a.project_id) || place(a) - place(b),
    );
  }
  const registry = (id: number) => ({
    id,
    name: id === 0 ? 'Local' : (world.registries[0]?.name ?? ''),
    url: '',
  });

  /** Entries that a query asks for; its times are UTC without saying so. src/lib/q/builder.go */
  function auditRows(q: Asked['q'], sort: string | null): object[] {
    const words = (name: string) => q.get(name)?.replace(/[{}]/g, '').split(' ');
    const [, from = '', to = ''] = /^\[(.+)~(.+)\]$/.exec(q.get('op_time') ?? '') ?? [];
    const isIn = (at: number) =>
      from === '' || (at >= Date.parse(`${from}Z`) / 1000 && at <= Date.parse(`${to}Z`) / 1000);
    const fits = (value: string, wanted: readonly string[] | undefined) => wanted?.includes(value) ?? true;
    return world.auditLog
      .filter(
        (row) => fits(row.operation, words('operation')) && fits(row.resource_type, words('resource_type')),
      )
      .filter(({ at }) => isIn(at))
      .toSorted((a, b) => (sort === 'op_time' ? a.at - b.at : b.at - a.at))
      .map(({ at, ...row }) => ({
        ...row,
        username: 'dev',
        operation_result: true,
        op_time: new Date(at * 1000).toISOString(),
      }));
  }

  /** Who may not see entries is shown none. */
  const auditLog = (pattern: RegExp, since: number): Route => ({
    operation: 'audit_log',
    pattern,
    since,
    answer: (asked) => {
      if (!asked.account) throw new Refusal(401, 'unauthorized');
      return {
        list: isRefused(asked, 'audit-log:list') ? [] : auditRows(asked.q, asked.query.get('sort')),
      };
    },
  });

  const routes: readonly Route[] = [
    {
      operation: 'health',
      pattern: /^\/health$/,
      answer: () => {
        const components = Object.entries(world.health).map(([name, status]) => ({ name, status }));
        const healthy = components.every(({ status }) => status === 'healthy');
        return { status: healthy ? 'healthy' : 'unhealthy', components };
      },
    },
    {
      operation: 'systeminfo',
      pattern: /^\/systeminfo$/,
      answer: ({ account }) => ({
        auth_mode: 'db_auth',
        primary_auth_mode: false,
        self_registration: world.settings['self_registration'],
        banner_message: '',
        oidc_provider_name: '',
        ...(account && {
          ...(!options.hidesVersion && { harbor_version: world.version }),
          ...world.settings,
          registry_storage_provider_name: 'filesystem',
        }),
      }),
    },
    {
      operation: 'current_user',
      pattern: /^\/users\/current$/,
      answer: ({ account }) => {
        if (!account) throw new Refusal(401, 'unauthorized');
        if (account.kind === 'robot')
          throw new Refusal(412, 'get current user not available for security context: robot');
        return {
          user_id: account.userId ?? 42,
          username: account.username,
          sysadmin_flag: account.sysadmin ?? false,
        };
      },
    },
    {
      operation: 'statistics',
      pattern: /^\/statistics$/,
      answer: ({ account }) => {
        if (!account) throw new Refusal(401, 'unauthorized');
        const admin = account.sysadmin === true;
        return {
          public_project_count: world.projects.filter((one) => one.public).length,
          private_project_count: 0,
          public_repo_count: 0,
          private_repo_count: 0,
          total_repo_count: 0,
          total_project_count: admin ? world.projects.length : 0,
          total_storage_consumption: admin ? world.storageBytes : 0,
        };
      },
    },
    {
      operation: 'projects',
      pattern: /^\/projects$/,
      answer: (asked) => ({
        list: byName(visible(asked))
          .filter(({ name }) => name.includes(asked.query.get('name') ?? ''))
          .map((one) => ({
            project_id: one.project_id,
            name: one.name,
            owner_id: 1,
            owner_name: 'admin',
            repo_count: repositoriesOf(one.name).length,
            ...(one.proxy && { registry_id: 7 }),
            metadata: {
              public: String(one.public),
              ...(one.auto_scan !== undefined && { auto_scan: String(one.auto_scan) }),
              ...(one.retention && { retention_id: one.retention_id ?? String(one.project_id + 100) }),
            },
          })),
      }),
    },
    {
      operation: 'repositories',
      pattern: /^\/repositories$/,
      answer: (asked) => ({
        list: byName(visible(asked).flatMap(({ name }) => repositoriesOf(name))),
        show: toRepository,
      }),
    },
    {
      operation: 'artifacts',
      since: 12,
      pattern: /^\/projects\/([^/]+)\/artifacts$/,
      answer: (asked) => {
        if (!asked.account) throw new Refusal(401, 'unauthorized');
        const project = projectOf(asked, asked.params[0], 'artifact:list');
        return artifacts(asked, project, repositoriesOf(project.name));
      },
    },
    {
      operation: 'artifacts',
      pattern: /^\/projects\/([^/]+)\/repositories\/([^/]+)\/artifacts$/,
      answer: (asked) => {
        const project = projectOf(asked, asked.params[0], 'artifact:list');
        const repository = world.estate.repositories.get(`${project.name}/${asked.params[1]}`);
        // A repository that is not there has no artifacts: the handler does not look for it.
        return artifacts(asked, project, repository ? [repository] : []);
      },
    },
    {
      operation: 'repository',
      pattern: /^\/projects\/([^/]+)\/repositories\/([^/]+)$/,
      answer: (asked) => {
        const project = projectOf(asked, asked.params[0], 'repository:read');
        const repository = world.estate.repositories.get(`${project.name}/${asked.params[1]}`);
        if (!repository) throw new Refusal(404, `repository ${project.name}/${asked.params[1]} not found`);
        return toRepository(repository);
      },
    },
    {
      operation: 'project_repositories',
      pattern: /^\/projects\/([^/]+)\/repositories$/,
      answer: (asked) => ({
        list: byName(repositoriesOf(projectOf(asked, asked.params[0], 'repository:list').name)).filter(
          ({ name }) => !asked.q.has('name') || asked.q.get('name') === name,
        ),
        show: toRepository,
      }),
    },
    {
      operation: 'members',
      pattern: /^\/projects\/([^/]+)\/members$/,
      answer: (asked) => {
        const { members } = projectOf(asked, asked.params[0], 'member:list');
        return {
          list: Array.from({ length: members }, (_, id) => ({
            id,
            entity_name: `user${id}`,
            entity_type: 'u',
          })),
        };
      },
    },
    {
      operation: 'immutable_rules',
      pattern: /^\/projects\/([^/]+)\/immutabletagrules$/,
      answer: (asked) => ({
        list: projectOf(asked, asked.params[0], 'immutable-tag:list').immutable,
      }),
    },
    {
      operation: 'retention',
      pattern: /^\/retentions\/(\d+)$/,
      answer: (asked) => {
        const found = world.projects.find(
          (one) => one.retention && one.project_id + 100 === Number(asked.params[0]),
        );
        // Not 404: src/server/v2.0/handler/retention.go
        if (!found?.retention) throw new Refusal(500, 'internal server error');
        projectOf(asked, found.name, 'tag-retention:read');
        const { cron, rules } = found.retention;
        return {
          id: found.project_id + 100,
          algorithm: 'or',
          rules,
          trigger: { kind: 'Schedule', settings: { cron } },
        };
      },
    },
    {
      operation: 'robots',
      pattern: /^\/robots$/,
      answer: (asked) => {
        const ofProject = asked.q.get('Level') === 'project';
        const project = world.projects.find((one) => String(one.project_id) === asked.q.get('ProjectID'));
        if (ofProject && !asked.q.has('ProjectID')) throw new Refusal(400, 'must with project ID');
        if (ofProject) projectOf(asked, project?.name, 'robot:list');
        else needs(asked, 'robot:list');
        const wanted = ofProject ? project?.name : '';
        return {
          list: world.robots
            .filter((one) => one.project === wanted)
            .map(({ project: _, ...one }) => ({ disable: false, ...one })),
        };
      },
    },
    {
      operation: 'quotas',
      pattern: /^\/quotas$/,
      answer: (asked) => {
        needs(asked, 'quota:list');
        return {
          list: quotaRows(asked.query.get('reference_id')).map(({ project_id: id, name, hard, used }) => ({
            id,
            ref: { id, name, owner_name: 'admin' },
            hard: { storage: hard },
            used: { storage: used },
          })),
        };
      },
    },
    {
      operation: 'volumes',
      pattern: /^\/systeminfo\/volumes$/,
      answer: (asked) => {
        needs(asked, 'system-volumes:read');
        return { storage: [withoutZeros(world.volume, 'total', 'free')] };
      },
    },
    {
      operation: 'scanners',
      pattern: /^\/scanners$/,
      answer: (asked) => {
        needs(asked, 'scanner:list');
        // Since 2.11 they are asked one after the other, until one does not answer.
        const down = world.scanners.findIndex(({ up }) => !up);
        return {
          list: world.scanners.map(({ name, disabled = false }, number) => ({
            uuid: `uuid-${name}`,
            name,
            disabled,
            is_default: number === 0,
            url: 'http://trivy:8080',
            description: '',
            ...(minor() >= 11 && {
              capabilities:
                down < 0 || number < down ? { support_vulnerability: true, support_sbom: true } : null,
            }),
          })),
        };
      },
    },
    {
      operation: 'project_scanner',
      pattern: /^\/projects\/([^/]+)\/scanner$/,
      answer: (asked) => {
        const found = scannerOf(projectOf(asked, asked.params[0], 'scanner:read'));
        if (!found) return null;
        const { name, up, disabled = false } = found;
        return { uuid: `uuid-${name}`, name, disabled, health: up ? 'healthy' : 'unhealthy' };
      },
    },
    {
      operation: 'scanner',
      pattern: /^\/scanners\/([^/]+)\/metadata$/,
      answer: (asked) => {
        needs(asked, 'scanner:read');
        const found = world.scanners.find(({ name }) => `uuid-${name}` === asked.params[0]);
        if (!found) throw new Refusal(404, 'scanner not found');
        if (!found.up) throw new Refusal(500, 'internal server error');
        return {
          scanner: { name: found.name, vendor: 'Aqua Security', version: 'v0.65.0' },
          capabilities: [],
        };
      },
    },
    {
      operation: 'registries',
      pattern: /^\/registries$/,
      answer: (asked) => {
        needs(asked, 'registry:list');
        return { list: world.registries };
      },
    },
    {
      operation: 'replication_policies',
      pattern: /^\/replication\/policies$/,
      answer: (asked) => {
        needs(asked, 'replication-policy:list');
        return {
          list: world.policies.map(({ id, name, enabled, push, pattern }) => ({
            id,
            name,
            ...(enabled && { enabled }),
            trigger: { type: 'event_based' },
            src_registry: registry(push ? 0 : 7),
            dest_registry: registry(push ? 7 : 0),
            filters: pattern === undefined ? null : [{ type: 'name', value: pattern }],
          })),
        };
      },
    },
    {
      operation: 'replication_executions',
      pattern: /^\/replication\/executions$/,
      answer: (asked) => {
        needs(asked, 'replication:list');
        const policy = world.policies.find(({ id }) => String(id) === asked.query.get('policy_id'));
        const status = asked.query.get('status');
        return {
          list: (policy?.executions ?? [])
            .filter((one) => status === null || one.status === status)
            .toSorted((a, b) => (a.start_time < b.start_time ? 1 : -1))
            .map((one, id) => ({
              id,
              policy_id: policy?.id,
              total: 4,
              trigger: 'event_based',
              status_text: '',
              ...one,
            })),
        };
      },
    },
    {
      operation: 'garbage_collections',
      pattern: /^\/system\/gc$/,
      answer: (asked) => {
        needs(asked, 'garbage-collection:list');
        return {
          list: world.collections
            .toSorted((a, b) => (a.creation_time < b.creation_time ? 1 : -1))
            .map((one, id) => ({
              id,
              job_name: 'GARBAGE_COLLECTION',
              job_kind: 'SCHEDULE',
              deleted: false,
              ...one,
            })),
        };
      },
    },
    {
      operation: 'scan_all',
      pattern: /^\/scans\/all\/metrics$/,
      answer: (asked) => {
        needs(asked, 'scan-all:read');
        if (world.scanners.length === 0)
          throw new Refusal(412, "no scanner is configured, it's not possible to scan");
        if (!world.scanAll) return { total: 0, completed: 0, ongoing: false };
        const none = { Pending: 0, Running: 0, Success: 0, Error: 0, Stopped: 0 };
        const metrics = { ...none, ...world.scanAll.metrics };
        const completed = metrics.Success + metrics.Error + metrics.Stopped;
        return { completed, trigger: 'Schedule', ...world.scanAll, metrics };
      },
    },
    // Until 2.13, and since then; src/server/v2.0/handler/auditlog.go
    auditLog(/^\/audit-logs$/, 0),
    auditLog(/^\/auditlog-exts$/, 13),
    {
      operation: 'job_queues',
      pattern: /^\/jobservice\/queues$/,
      answer: (asked) => {
        needs(asked, 'jobservice-monitor:list');
        return world.queues.map((one) => withoutZeros(one, 'count', 'latency'));
      },
    },
    {
      operation: 'workers',
      pattern: /^\/jobservice\/pools\/all\/workers$/,
      answer: (asked) => {
        needs(asked, 'jobservice-monitor:list');
        return world.workers.map((job_name, id) => ({
          id: String(id),
          pool_id: 'pool',
          ...(job_name && { job_name, job_id: 'j' }),
        }));
      },
    },
  ];

  function accountOf(header: string | undefined): HarborAccount | undefined {
    const [, pair = ''] = /^Basic (.+)$/.exec(header ?? '') ?? [];
    const text = Buffer.from(pair, 'base64').toString('utf8');
    return world.accounts.find(({ username, password }) => text === `${username}:${password}`);
  }

  /** One page and its headers. https://github.com/goharbor/harbor/blob/main/src/server/v2.0/handler/base.go */
  function paged(list: readonly object[], path: string, query: URLSearchParams) {
    const asked = Number(query.get('page_size') ?? 10);
    const size = Math.min(asked, options.largestPage ?? asked);
    const page = Number(query.get('page') ?? 1);
    if (!(asked <= 100))
      throw new Refusal(
        422,
        'validation failure list:\npage_size in query should be less than or equal to 100',
      );
    const address = (number: number): string => {
      const next = new URLSearchParams(query);
      next.set('page', String(number));
      next.set('page_size', String(size));
      return `<${path}?${decodeURIComponent(next.toString())}>`;
    };
    const links: string[] = [];
    if (page > 1 && (page - 1) * size < list.length) links.push(`${address(page - 1)} ; rel="prev"`);
    turn += 1;
    if (endlessPaging) links.push(`${address(endlessPaging === 'same' ? 2 : 2 + (turn % 2))} ; rel="next"`);
    else if (size * page < list.length) links.push(`${address(page + 1)} ; rel="next"`);
    return {
      items: list.slice((page - 1) * size, page * size),
      headers: {
        ...(!withoutHeaders.includes('x-total-count') && { 'x-total-count': String(list.length) }),
        ...(links.length > 0 && !withoutHeaders.includes('link') && { link: links.join(' , ') }),
      },
    };
  }

  function send(response: ServerResponse, status: number, body: string, headers: object = {}): void {
    response.writeHead(status, {
      // Errors say which characters they are of, other answers do not.
      'content-type': status === 200 ? 'application/json' : 'application/json; charset=utf-8',
      'x-request-id': randomBytes(8).toString('hex'),
      ...headers,
    } as Record<string, string>);
    response.end(body);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://harbor');
    const api = `${pathPrefix}/api/v2.0`;
    const path = pathname.startsWith(`${api}/`) ? pathname.slice(api.length) : '';
    const route = routes.find(({ pattern, since = 0 }) => minor() >= since && pattern.test(path));
    if (!route || request.method !== 'GET')
      return send(response, 404, errorBody(404, `path ${pathname} was not found`));
    // The router decodes a path once, the handler the repository's name once more.
    const [, ...raw] = route.pattern.exec(path) ?? [];
    const params = raw.map((one) => decodeURIComponent(decodeURIComponent(one)));
    const { operation } = route;
    if (!/(?:^|; )sid=[0-9a-f]{16}(?:;|$)/.test(request.headers.cookie ?? '')) {
      sessions += 1;
      response.setHeader('set-cookie', `sid=${randomBytes(8).toString('hex')}; Path=/; HttpOnly`);
    }
    requests.set(operation, (requests.get(operation) ?? 0) + 1);
    const fault = { operation, repository: repositoryOf(params) };
    if (await applyFault(faults, fault, request, response, errorBody(429, 'too many requests'))) return;
    const q = new Map(
      (query.get('q') ?? '').split(',').flatMap((pair): [string, string][] => {
        const at = pair.indexOf('=');
        return at > 0 ? [[pair.slice(0, at), pair.slice(at + 1)]] : [];
      }),
    );
    const accepts = String(request.headers['x-accept-vulnerabilities'] ?? '');
    const found = route.answer({
      account: accountOf(request.headers.authorization),
      query,
      q,
      accepts,
      params,
    });
    if (!found || !('list' in found)) return send(response, 200, JSON.stringify(found));
    const { items, headers } = paged(found.list, pathname.slice(pathPrefix.length), query);
    const before = (Number(query.get('page') ?? 1) - 1) * Number(query.get('page_size') ?? 10);
    const wait = options.latency?.(operation, before, items.length);
    if (wait) await sleep(wait);
    const show = 'show' in found ? (found.show as (row: object) => object) : (row: object) => row;
    const isNull = options.nullLists && items.length === 0;
    send(response, 200, isNull ? 'null' : JSON.stringify(items.map(show)), headers);
  }

  /** What a fault of one repository is for: its own list, or that of its project. */
  function repositoryOf([project, name]: readonly string[]): string | undefined {
    if (project === undefined || name !== undefined) return name && `${project}/${name}`;
    return faults.find(({ repository }) => repository?.startsWith(`${project}/`))?.repository;
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((failure) => {
      if (response.headersSent) response.destroy();
      else if (failure instanceof Refusal)
        send(response, failure.status, errorBody(failure.status, failure.message));
      else send(response, 500, errorBody(500, 'internal server error'));
    });
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${pathPrefix}`,
    port,
    world,
    faults,
    requests,
    sessions: () => sessions,
    deleteRepository: (name) => void world.estate.repositories.delete(name),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
