import pMap from 'p-map';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { anyObject, optional, text } from '../../wire.ts';
import type { Scanner } from './artifacts.ts';
import { type Harbor, projectPath } from './client.ts';
import { optionalList, optional as optionally } from './permissions.ts';

type Component = NonNullable<RegistryFacts['components']>[number];

const scanner = z.object({
  uuid: text,
  name: text,
  disabled: optional('disabled', z.boolean()),
  is_default: optional('is_default', z.boolean()),
  health: optional('health', z.string().max(64)),
  capabilities: optional('capabilities', anyObject),
});
type Registration = z.infer<typeof scanner>;

/** A project without one of its own has the default; without any it is `null`. */
const scannerOfProject = z.object({ uuid: optional('uuid', text) }).nullable();

/** For how long it is remembered which scanner a project has, and who was told. */
interface Kept {
  readonly intervalSeconds: number;
  readonly account: string;
}

/** The scanners of an installation, and whether each answers. */
export interface Scanners {
  readonly components: readonly Component[];
  /** What is known of the scanner of each project; and says what does not work. */
  ofProjects(
    projects: readonly { readonly project_id: number; readonly name: string }[],
    kept: Kept,
  ): Promise<(project: string) => Scanner>;
}

/** How many projects are asked for their scanner in one poll. */
const projectsPerPoll = 200;

/** Reads which scanners there are; `unknown` for an account that may not. */
export async function readScanners(harbor: Harbor, context: CollectContext): Promise<Scanners> {
  const unknown: Scanners = { components: [], ofProjects: async () => () => 'unknown' };
  if (!harbor.authenticates) return unknown;
  const found = await optionalList(
    context,
    { capability: 'health', permission: 'scanner:list (system)', what: 'scanners' },
    () => harbor.all({ operation: 'scanners', path: '/scanners' }, scanner, ({ uuid }) => uuid),
  );
  if (!found) return unknown;
  const used = found.items.filter(({ disabled }) => !disabled);
  const states = await Promise.all(
    used.map(async (one) => ({ one, up: await answers(harbor, context, one) })),
  );
  const components = states.flatMap(({ one, up }) =>
    up === undefined ? [] : [{ component: `scanner ${one.name}`, up }],
  );
  if (used.length === 0 && found.missing === 0) {
    context.absent('findings');
    return { components, ofProjects: async () => () => 'none' };
  }
  const stateOf = (up: boolean | undefined): Scanner =>
    up === undefined ? 'unknown' : up ? 'healthy' : 'unhealthy';
  return {
    components,
    async ofProjects(projects, kept) {
      const down = states.filter(({ up }) => up === false).map(({ one }) => one);
      const isWhole = found.missing === 0 && states.every(({ up }) => up !== undefined);
      if (down.length === 0) return () => (isWhole ? 'healthy' : 'unknown');
      const uuidOf =
        found.items.length > 1
          ? await readProjectScanners(harbor, context, projects, kept)
          : () => used[0]?.uuid;
      const scannerOf = (project: string): Scanner => {
        const uuid = uuidOf(project);
        return uuid === undefined ? 'unknown' : stateOf(states.find(({ one }) => one.uuid === uuid)?.up);
      };
      tellOfThoseDown(
        context,
        down,
        projects.map(({ name }) => ({ name, uuid: uuidOf(name) })),
      );
      return scannerOf;
    },
  };
}

/**
 * Since 2.11 the list of scanners says what each can do, if it answers, up to the first that does not; before, and after
 * that one, its description is asked for.
 */
async function answers(
  harbor: Harbor,
  context: CollectContext,
  { uuid, health: word, capabilities }: Registration,
): Promise<boolean | undefined> {
  if (word) return word === 'healthy';
  if (capabilities && Object.keys(capabilities).length > 0) return true;
  const path = `/scanners/${encodeURIComponent(uuid)}/metadata`;
  return optionally(context, { capability: 'health', permission: 'scanner:read (system)' }, () =>
    harbor.works({ operation: 'scanner', path }),
  );
}

/** Which scanner each project has; asked for while one does not answer and there are others. */
async function readProjectScanners(
  harbor: Harbor,
  context: CollectContext,
  projects: readonly { readonly project_id: number; readonly name: string }[],
  { intervalSeconds, account }: Kept,
): Promise<(project: string) => string | undefined> {
  const { memory } = context;
  const keyOf = ({ project_id, name }: (typeof projects)[number]) =>
    `project scanner ${project_id} ${name} ${account}`;
  const due = projects
    .map((one) => ({ one, at: memory.get(keyOf(one))?.storedAt ?? 0 }))
    .filter(({ at }) => context.now() - at >= intervalSeconds)
    .toSorted((a, b) => a.at - b.at)
    .slice(0, projectsPerPoll);
  await pMap(
    due,
    async ({ one }) => {
      try {
        const asked = { operation: 'project_scanner', path: `${projectPath(one.name)}/scanner` };
        memory.set(keyOf(one), { uuid: (await harbor.get(asked, scannerOfProject))?.uuid });
      } catch {
        context.signal.throwIfAborted();
        // Refused, or broken: then nobody knows, and it is asked again when the others are.
        memory.set(keyOf(one), {});
      }
    },
    { concurrency: context.concurrency },
  );
  const uuids = new Map(
    projects.map((one) => [one.name, memory.get<{ uuid?: string }>(keyOf(one))?.value.uuid]),
  );
  return (project) => uuids.get(project);
}

/** A scanner that no project has is nobody's trouble. */
function tellOfThoseDown(
  context: CollectContext,
  down: readonly Registration[],
  projects: readonly { readonly name: string; readonly uuid: string | undefined }[],
): void {
  const isDown = (uuid: string | undefined) => uuid === undefined || down.some((one) => one.uuid === uuid);
  const concerned = projects.filter(({ uuid }) => isDown(uuid)).map(({ name }) => name);
  if (concerned.length === 0) return;
  const names = down.map(({ name }) => name).join(', ');
  context.degraded(
    'findings',
    new CollectError(
      'server_error',
      `the scanner ${names} does not answer: Harbor leaves out what its scans found, of ${concerned.length} project(s) such as ${concerned[0]}. Where some projects have another scanner, telling them apart takes the permission scanner:read (project)`,
    ),
  );
}
