import pMap from 'p-map';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { anyObject, optional, text } from '../../wire.ts';
import type { Scanner } from './artifacts.ts';
import { type Harbor, projectPath } from './client.ts';
import { optionalList, optionally } from './optional-parts.ts';
import { oldest } from './per-project.ts';

type Component = NonNullable<RegistryFacts['components']>[number];

const registration = z.object({
  uuid: text,
  name: text,
  disabled: optional('disabled', z.boolean()),
  health: optional('health', z.string().max(64)),
  capabilities: optional('capabilities', anyObject),
});
type Registration = z.infer<typeof registration>;

/** A project without a scanner of its own has the default; without any it is `null`. */
const scannerOfProject = z.object({ uuid: optional('uuid', text) }).nullable();

type Project = { readonly project_id: number; readonly name: string };

/** For how long it is remembered which scanner a project has, and who asked. */
interface Remembering {
  readonly intervalSeconds: number;
  readonly account: string;
}

/** The scanners of an installation, and whether each answers. */
export interface Scanners {
  readonly components: readonly Component[];
  /** What is known of the scanner of each project; those that are down degrade the findings. */
  ofProjects(projects: readonly Project[], remembering: Remembering): Promise<(project: string) => Scanner>;
}

/** Reads which scanners there are; `unknown` for an account that may not. */
export async function readScanners(harbor: Harbor, context: CollectContext): Promise<Scanners> {
  const unknown: Scanners = { components: [], ofProjects: async () => () => 'unknown' };
  if (!harbor.authenticates) return unknown;
  const listed = await optionalList(
    context,
    { capability: 'health', permission: 'scanner:list (system)', what: 'scanners' },
    () => harbor.all({ operation: 'scanners', path: '/scanners' }, registration, ({ uuid }) => uuid),
  );
  if (!listed) return unknown;
  const used = listed.items.filter(({ disabled }) => !disabled);
  const states = await Promise.all(
    used.map(async (scanner) => ({ ...scanner, up: await answers(harbor, context, scanner) })),
  );
  const components = states.flatMap(({ name, up }) =>
    up === undefined ? [] : [{ component: `scanner ${name}`, up }],
  );
  if (used.length === 0 && listed.missing === 0) {
    context.absent('findings');
    return { components, ofProjects: async () => () => 'none' };
  }
  const isWhole = listed.missing === 0 && states.every(({ up }) => up !== undefined);
  return {
    components,
    async ofProjects(projects, remembering) {
      const down = states.filter(({ up }) => up === false);
      if (down.length === 0) return () => (isWhole ? 'healthy' : 'unknown');
      const uuidOf =
        listed.items.length > 1
          ? await readProjectScanners(harbor, context, projects, remembering)
          : () => used[0]?.uuid;
      tellOfThoseDown(context, down, projects, uuidOf);
      return (project) => {
        const up = states.find(({ uuid }) => uuid === uuidOf(project))?.up;
        return up === undefined ? 'unknown' : up ? 'healthy' : 'unhealthy';
      };
    },
  };
}

/**
 * Since 2.11 the list of scanners says what each can do, if it answers, up to the first that does not. Before, and after
 * that one, its description is asked for.
 */
async function answers(
  harbor: Harbor,
  context: CollectContext,
  { uuid, health, capabilities }: Registration,
): Promise<boolean | undefined> {
  if (health) return health === 'healthy';
  if (capabilities && Object.keys(capabilities).length > 0) return true;
  const path = `/scanners/${encodeURIComponent(uuid)}/metadata`;
  return optionally(context, { capability: 'health', permission: 'scanner:read (system)' }, () =>
    harbor.works({ operation: 'scanner', path }),
  );
}

/** Which scanner each project has; asked for while one of several does not answer. */
async function readProjectScanners(
  harbor: Harbor,
  context: CollectContext,
  projects: readonly Project[],
  { intervalSeconds, account }: Remembering,
): Promise<(project: string) => string | undefined> {
  const { memory } = context;
  const keyOf = ({ project_id, name }: Project) => `project scanner ${project_id} ${name} ${account}`;
  await pMap(
    oldest(context, projects, intervalSeconds, keyOf),
    async (project) => {
      const question = { operation: 'project_scanner', path: `${projectPath(project.name)}/scanner` };
      const scanner = await harbor.get(question, scannerOfProject).catch(() => {
        context.signal.throwIfAborted();
        // Refused or broken: it is unknown until the interval has passed.
        return null;
      });
      memory.set(keyOf(project), { uuid: scanner?.uuid });
    },
    { concurrency: context.concurrency },
  );
  const uuids = new Map(
    projects.map((project) => [project.name, memory.get<{ uuid?: string }>(keyOf(project))?.value.uuid]),
  );
  return (project) => uuids.get(project);
}

/** Degrades the findings, unless no project has a scanner that is down. */
function tellOfThoseDown(
  context: CollectContext,
  down: readonly Registration[],
  projects: readonly Project[],
  uuidOf: (project: string) => string | undefined,
): void {
  const concerned = projects.filter(({ name }) => {
    const uuid = uuidOf(name);
    return uuid === undefined || down.some((scanner) => scanner.uuid === uuid);
  });
  const [first] = concerned;
  if (!first) return;
  const names = down.map(({ name }) => name).join(', ');
  context.degraded(
    'findings',
    new CollectError(
      'server_error',
      `the scanner ${names} does not answer: Harbor leaves out what its scans found, of ${concerned.length} project(s) such as ${first.name}. Where some projects have another scanner, telling them apart takes the permission scanner:read (project)`,
    ),
  );
}
