import type { Estate } from './estate.ts';

/** What a Harbor installation has besides its artifacts. Everything may be changed while the simulator runs. */
export interface HarborWorld {
  readonly estate: Estate;
  /** `v2.12.0-5d4e6a2`, told to those who have an account. */
  version: string;
  readonly accounts: HarborAccount[];
  readonly projects: HarborProject[];
  health: Record<string, string>;
  scanners: { name: string; up: boolean; disabled?: boolean }[];
  /** Robot accounts that are listed, by project; `''` for those of the system. */
  robots: { project: string; name: string; expires_at: number; disable?: boolean }[];
  registries: { id: number; name: string; status: string }[];
  policies: HarborPolicy[];
  collections: { job_status: string; creation_time: string; update_time: string }[];
  /** As `/scans/all/metrics` says; undefined: none ever ran. */
  scanAll:
    | { total: number; completed?: number; ongoing: boolean; metrics: Record<string, number> }
    | undefined;
  queues: { job_type: string; count: number; latency: number; paused: boolean }[];
  /** Names of the jobs that workers are busy with; null: an idle worker. */
  workers: (string | null)[];
  volume: { total: number; free: number };
  storageBytes: number;
  settings: Record<string, boolean>;
  auditLog: HarborAuditEntry[];
}

/** An entry of the audit log, the time as Unix seconds. */
export interface HarborAuditEntry {
  readonly id: number;
  readonly operation: string;
  readonly resource_type: string;
  readonly resource: string;
  readonly at: number;
}

export interface HarborAccount {
  readonly username: string;
  password: string;
  readonly kind: 'user' | 'robot';
  /** Of a user; 1 is the account that every installation has. */
  readonly userId?: number;
  readonly sysadmin?: boolean;
  /** `quota:list` of the system, `project/artifact:list` of every project that it sees. */
  readonly permissions: Set<string>;
  /** Projects that it sees besides the public ones; undefined: all. */
  readonly projects?: readonly string[];
}

export interface HarborProject {
  readonly project_id: number;
  readonly name: string;
  readonly public: boolean;
  readonly auto_scan?: boolean;
  readonly members: number;
  readonly proxy?: boolean;
  hard: number;
  used: number;
  immutable: object[];
  /** Undefined: no policy. */
  retention?: { cron: string; rules: object[] } | undefined;
  /** What its metadata says, where that is no id of a policy. */
  retention_id?: string;
  /** Name of a scanner of its own; the first of the installation otherwise. */
  scanner?: string;
  /** Unix seconds; quotas are listed by it, and by nothing else. */
  readonly createdAt?: number;
}

export interface HarborPolicy {
  readonly id: number;
  readonly name: string;
  enabled: boolean;
  readonly push: boolean;
  readonly pattern?: string;
  executions: {
    status: string;
    start_time: string;
    end_time: string;
    failed: number;
    succeed: number;
    in_progress: number;
    stopped: number;
  }[];
}

/** All that a robot account can be allowed to read, and that is asked for. */
export const readPermissions = [
  'project:list',
  'quota:list',
  'scanner:list',
  'scanner:read',
  'project/scanner:read',
  'registry:list',
  'replication-policy:list',
  'replication:list',
  'garbage-collection:list',
  'scan-all:read',
  'jobservice-monitor:list',
  'system-volumes:read',
  'robot:list',
  'audit-log:list',
  'project/project:read',
  'project/repository:list',
  'project/artifact:list',
  'project/immutable-tag:list',
  'project/tag-retention:read',
  'project/member:list',
  'project/robot:list',
] as const;

let rules = 0;
const covering = (pattern: string, disabled = false): object => ({
  id: ++rules,
  disabled,
  action: 'immutable',
  template: 'immutable_template',
  tag_selectors: [{ kind: 'doublestar', decoration: 'matches', pattern: '**' }],
  scope_selectors: { repository: [{ kind: 'doublestar', decoration: 'repoMatches', pattern }] },
});

/** A world around an estate whose repositories are named `project/…`. */
export function createHarborWorld(estate: Estate, now: number): HarborWorld {
  const names = [...new Set([...estate.repositories.keys()].map((name) => name.split('/')[0] as string))];
  const at = (ago: number): string => new Date((now - ago) * 1000).toISOString();
  const everything = new Set<string>(readPermissions);
  return {
    estate,
    version: 'v2.13.1-3e3b4f3d',
    accounts: [
      {
        username: 'admin',
        password: 'Harbor12345-adm',
        kind: 'user',
        userId: 1,
        sysadmin: true,
        permissions: everything,
      },
      { username: 'robot$exporter', password: 'r0bot-S3cret-x', kind: 'robot', permissions: everything },
    ],
    projects: names.map((name, number) => ({
      project_id: number + 1,
      name,
      public: number % 3 === 0,
      ...(number % 2 === 0 && { auto_scan: true }),
      members: 1 + number,
      hard: number % 2 === 0 ? -1 : 2 ** 40,
      used: 1000 * (number + 1),
      immutable: number % 2 === 0 ? [covering('**')] : [covering('**', true)],
      ...(number % 3 === 1 && { retention: { cron: '0 0 0 * * *', rules: [covering('{api,worker}')] } }),
    })),
    health: {
      core: 'healthy',
      database: 'healthy',
      jobservice: 'healthy',
      registry: 'healthy',
      redis: 'healthy',
    },
    scanners: [{ name: 'Trivy', up: true }],
    robots: [
      { project: '', name: 'robot$exporter', expires_at: now + 86_400 },
      { project: '', name: 'robot$forever', expires_at: -1 },
      ...names.map((name) => ({ project: name, name: `robot$${name}+ci`, expires_at: now + 3600 })),
    ],
    registries: [{ id: 7, name: 'dr-site', status: 'healthy' }],
    policies: [
      {
        id: 3,
        name: 'to-dr-site',
        enabled: true,
        push: true,
        pattern: 'checkout/**',
        executions: [
          {
            status: 'Succeed',
            start_time: at(600),
            end_time: at(500),
            failed: 0,
            succeed: 4,
            in_progress: 0,
            stopped: 0,
          },
        ],
      },
    ],
    collections: [{ job_status: 'Success', creation_time: at(7200), update_time: at(7000) }],
    scanAll: {
      total: 5,
      ongoing: false,
      metrics: { Success: 5, Error: 0, Running: 0, Pending: 0, Stopped: 0 },
    },
    queues: [{ job_type: 'REPLICATION', count: 2, latency: 30, paused: false }],
    workers: ['REPLICATION', null],
    volume: { total: 1000, free: 400 },
    storageBytes: 123_456_789,
    auditLog: [{ id: 1, operation: 'login', resource_type: 'user', resource: 'admin', at: now - 86_400 }],
    settings: { read_only: false, self_registration: true, has_ca_root: false, notification_enable: true },
  };
}
