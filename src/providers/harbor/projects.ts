import pMap from 'p-map';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { Practice } from '../../model.ts';
import type { Capability, CollectContext } from '../../provider.ts';
import { type Harbor, projectPath } from './client.ts';
import { selector, selects } from './patterns.ts';
import { explained } from './permissions.ts';

const flag = z.string().nullish();

/** `Project` of the swagger, of which only what is used. All values of its metadata are strings. */
export const project = z.object({
  project_id: z.number(),
  name: z.string().min(1),
  repo_count: z.number().nullish(),
  /** There for a cache of another registry. */
  registry_id: z.number().nullish(),
  metadata: z.object({ public: flag, auto_scan: flag, retention_id: flag }).nullish(),
});
export type Project = z.infer<typeof project>;

const rule = z.object({
  disabled: z.boolean().nullish(),
  scope_selectors: z.record(z.string(), z.array(selector).nullable()).nullish(),
});
type Rule = z.infer<typeof rule>;

const retention = z.object({
  rules: z.array(rule).nullish(),
  trigger: z.object({ settings: z.object({ cron: z.string().nullish() }).nullish() }).nullish(),
});

/** A robot account that expires. */
export interface Expiring {
  readonly name: string;
  readonly expiresAt: number;
}

const robot = z.object({
  name: z.string(),
  expires_at: z.number().nullish(),
  disable: z.boolean().nullish(),
});

/** Robot accounts that are in use and expire; -1 is never. */
export async function readRobots(
  harbor: Harbor,
  query: Readonly<Record<string, string>>,
): Promise<Expiring[]> {
  const all = await harbor.all({ operation: 'robots', path: '/robots', query }, robot, ({ name }) => name);
  return all.flatMap(({ name, expires_at, disable }) =>
    !disable && typeof expires_at === 'number' && expires_at > 0 ? [{ name, expiresAt: expires_at }] : [],
  );
}

/** What takes requests of its own for each project, and changes seldom. Absent: not known. */
export interface ProjectSettings {
  readonly immutable?: readonly Rule[];
  readonly retention?: readonly Rule[];
  readonly members?: number;
  readonly robots?: readonly Expiring[];
}

interface Kept {
  readonly settings: ProjectSettings;
  /** By part: what was refused, for as long as it is not asked again. */
  readonly refused: Readonly<Record<string, string>>;
  /** Something broke that may work at the next poll. */
  readonly again: boolean;
}

/** How many projects' settings one poll reads anew at most; of more projects the oldest first. */
const projectsPerPoll = 200;
/** So many refusals in a row, none of it allowed, and the rest of the projects is not asked. */
const enoughRefusals = 3;

interface Part<Key extends keyof ProjectSettings> {
  readonly key: Key;
  readonly capability: Capability;
  readonly permission: string;
  read(one: Project): Promise<ProjectSettings[Key]>;
}

/** The settings of all projects: those that are old are read again, the others come from the memory. */
export async function readProjectSettings(input: {
  readonly harbor: Harbor;
  readonly context: CollectContext;
  readonly projects: readonly Project[];
  readonly intervalSeconds: number;
  /** Whether the account can be allowed to list members and robot accounts: no robot can before 2.12. */
  readonly listsAccounts: boolean;
}): Promise<ReadonlyMap<string, ProjectSettings>> {
  const { harbor, context, projects, intervalSeconds } = input;
  const all: readonly Part<keyof ProjectSettings>[] = [
    {
      key: 'immutable',
      capability: 'practices',
      permission: 'immutable-tag:list (project)',
      read: ({ name }) =>
        harbor.all(
          { operation: 'immutable_rules', path: `${projectPath(name)}/immutabletagrules` },
          z.object({ id: z.number().nullish(), ...rule.shape }),
          (one) => one.id ?? one,
        ),
    },
    {
      key: 'retention',
      capability: 'practices',
      permission: 'tag-retention:read (project)',
      async read({ metadata }) {
        const id = metadata?.retention_id;
        if (!id) return [];
        const found = await harbor.get(
          { operation: 'retention', path: `/retentions/${encodeURIComponent(id)}` },
          retention,
        );
        // Without a schedule nobody but a person at the console ever runs it.
        return found.trigger?.settings?.cron ? (found.rules ?? []) : [];
      },
    },
    {
      key: 'members',
      capability: 'projects',
      permission: 'member:list (project)',
      read: ({ name }) => harbor.count({ operation: 'members', path: `${projectPath(name)}/members` }),
    },
    {
      key: 'robots',
      capability: 'credentials',
      permission: 'robot:list (project)',
      read: ({ project_id }) => readRobots(harbor, { q: `Level=project,ProjectID=${project_id}` }),
    },
  ];
  const parts = all.filter(({ key }) => input.listsAccounts || (key !== 'members' && key !== 'robots'));
  const keyOf = ({ project_id }: Project) => `project ${project_id}`;
  const kept = (one: Project) => context.memory.get<Kept>(keyOf(one));
  const due = projects
    .map((one) => ({ one, at: kept(one)?.value.again ? 0 : (kept(one)?.storedAt ?? 0) }))
    .filter(({ at }) => context.now() - at >= intervalSeconds)
    .toSorted((a, b) => a.at - b.at)
    .slice(0, projectsPerPoll);
  const refusals = new Map<string, number>();

  async function readAnew(one: Project): Promise<void> {
    const before = kept(one)?.value.settings ?? {};
    const settings: { -readonly [Key in keyof ProjectSettings]: unknown } = {};
    const refused: Record<string, string> = {};
    let again = false;
    for (const { key, permission, capability, read } of parts) {
      if ((refusals.get(key) ?? 0) >= enoughRefusals) {
        refused[key] = `${permission} is missing in the projects that were asked for it`;
        continue;
      }
      try {
        settings[key] = await read(one);
        refusals.set(key, Number.NEGATIVE_INFINITY);
      } catch (error) {
        context.signal.throwIfAborted();
        const { reason, status } = error instanceof CollectError ? error : {};
        // Deleted meanwhile, or not yet in this version.
        if (status === 404 || status === 412) continue;
        if (reason === 'forbidden' || reason === 'auth') {
          refusals.set(key, (refusals.get(key) ?? 0) + 1);
          refused[key] = (explained(error, permission) as CollectError).message;
          continue;
        }
        context.degraded(capability, error);
        settings[key] = before[key];
        again = true;
      }
    }
    context.memory.set(keyOf(one), { settings, refused, again });
  }
  await pMap(due, ({ one }) => readAnew(one), { concurrency: context.concurrency });
  for (const one of projects)
    for (const { key, capability } of parts) {
      const message = kept(one)?.value.refused[key];
      if (message !== undefined) context.degraded(capability, new CollectError('forbidden', message));
    }
  return new Map(projects.map((one) => [one.name, kept(one)?.value.settings ?? {}]));
}

/** Whether an enabled rule is for the repository; undefined where the rules are unknown. */
const covered = (rules: readonly Rule[] | undefined, path: string): boolean | undefined =>
  rules?.some(({ disabled, scope_selectors: scope }) => !disabled && selects(scope?.['repository'], path));

/** The practices that the settings of a repository's project decide. */
export function practicesOf(
  one: Project,
  settings: ProjectSettings,
  path: string,
): Partial<Record<Practice, boolean>> {
  const { metadata } = one;
  const retained = covered(settings.retention, path);
  const immutable = covered(settings.immutable, path);
  return {
    ...(metadata && {
      private: metadata.public !== 'true',
      no_anonymous_pull: metadata.public !== 'true',
      scan_on_push: metadata.auto_scan === 'true',
    }),
    ...(retained !== undefined && { retention_policy: retained }),
    ...(immutable !== undefined && { immutable_tags: immutable }),
  };
}
