import pMap from 'p-map';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import { list, optional } from '../../wire.ts';
import { type Harbor, projectPath } from './client.ts';
import { explained, incomplete, type Part } from './permissions.ts';
import { type Project, type ProjectSettings, type Rules, rule } from './projects.ts';
import { readRobots } from './robots.ts';

const retention = z.object({
  // An empty list is `null`; Go does not leave it out.
  rules: z.array(z.unknown()).nullable(),
  trigger: z.object({ settings: z.object({ cron: z.string().max(256).nullish() }).nullish() }).nullish(),
});

interface Kept {
  readonly settings: ProjectSettings;
  /** By part: what was refused, for as long as it is not asked again. */
  readonly refused: Readonly<Record<string, string>>;
  /** By part: what broke. */
  readonly broken: Readonly<Record<string, string>>;
  /** Something broke for the first time: it may work at the next poll. */
  readonly again: boolean;
}

/** How many projects' settings one poll reads anew at most; of more projects the oldest first. */
const projectsPerPoll = 200;
/** So many refusals in a row, none of it allowed, and the rest of the projects is not asked. */
const enoughRefusals = 3;

interface Reads<Key extends keyof ProjectSettings> extends Part {
  readonly key: Key;
  read(one: Project): Promise<ProjectSettings[Key]>;
}

/** What is read of each project. */
function partsOf(harbor: Harbor, context: CollectContext): readonly Reads<keyof ProjectSettings>[] {
  return [
    {
      key: 'immutable',
      capability: 'practices',
      permission: 'immutable-tag:list (project)',
      async read({ name }) {
        const { items, missing } = await harbor.all(
          { operation: 'immutable_rules', path: `${projectPath(name)}/immutabletagrules` },
          z.object({ id: optional('id', z.number()), ...rule.shape }),
          (one) => one.id ?? one,
        );
        return { rules: items, ...(missing > 0 && { more: true }) };
      },
    },
    {
      key: 'retention',
      capability: 'practices',
      permission: 'tag-retention:read (project)',
      async read({ metadata }): Promise<Rules> {
        const id = metadata?.retention_id;
        if (!id) return { rules: [] };
        const path = `/retentions/${encodeURIComponent(id)}`;
        const { rules, trigger } = await harbor.get({ operation: 'retention', path }, retention);
        // Without a schedule nobody but a person at the console ever runs it.
        if (!trigger?.settings?.cron || !rules) return { rules: [] };
        const good = list('rules', rule).safeParse(rules).data ?? [];
        return { rules: good, ...(good.length < rules.length && { more: true }) };
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
      async read({ name, project_id: id }) {
        const { items, missing } = await readRobots(harbor, { name, id });
        if (missing > 0) context.degraded('credentials', incomplete(`robot accounts of ${name}`, missing));
        return items;
      },
    },
  ];
}

/** The settings of all projects: those that are old are read again, the others come from the memory. */
export async function readProjectSettings(input: {
  readonly harbor: Harbor;
  readonly context: CollectContext;
  readonly projects: readonly Project[];
  readonly intervalSeconds: number;
  /** Whether the account can be allowed to list members and robot accounts: no robot can before 2.12. */
  readonly listsAccounts: boolean;
  /** Who asks: another account may be allowed other things. */
  readonly account: string;
}): Promise<ReadonlyMap<string, ProjectSettings>> {
  const { harbor, context, projects, intervalSeconds } = input;
  const parts = partsOf(harbor, context).filter(
    ({ key }) => input.listsAccounts || (key !== 'members' && key !== 'robots'),
  );
  const keyOf = ({ project_id, name }: Project) => `project settings ${project_id} ${name} ${input.account}`;
  const kept = (one: Project) => context.memory.get<Kept>(keyOf(one));
  const due = projects
    .map((one) => ({ one, at: kept(one)?.value.again ? 0 : (kept(one)?.storedAt ?? 0) }))
    .filter(({ at }) => context.now() - at >= intervalSeconds)
    .toSorted((a, b) => a.at - b.at)
    .slice(0, projectsPerPoll);
  const refusals = new Map<string, number>();

  async function readAnew(one: Project): Promise<void> {
    const before = kept(one)?.value;
    const settings: { -readonly [Key in keyof ProjectSettings]: unknown } = {};
    const refused: Record<string, string> = {};
    const broken: Record<string, string> = {};
    for (const { key, permission, read } of parts) {
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
        broken[key] = (error as Error).message.slice(0, 500);
        settings[key] = before?.settings[key];
      }
    }
    // What fails again and again is asked for no more often than what works.
    const failed = [...Object.keys(broken), ...Object.keys(refused)] as (keyof ProjectSettings)[];
    const again = failed.some((key) => before?.settings[key] !== undefined && !before.broken[key]);
    context.memory.set(keyOf(one), { settings, refused, broken, again });
  }
  await pMap(due, ({ one }) => readAnew(one), { concurrency: context.concurrency });
  tellWhatFailed({ context, parts, projects, kept: (one) => kept(one)?.value });
  return new Map(projects.map((one) => [one.name, kept(one)?.value.settings ?? {}]));
}

/** What is refused, or breaks in every project, is a failing capability; what breaks in one is told. */
function tellWhatFailed(of: {
  readonly context: CollectContext;
  readonly parts: readonly Reads<keyof ProjectSettings>[];
  readonly projects: readonly Project[];
  kept(one: Project): Kept | undefined;
}): void {
  const { context, parts, projects, kept } = of;
  for (const { key, capability } of parts) {
    const works = projects.some((one) => {
      const known = kept(one);
      return known?.settings[key] !== undefined && known.broken[key] === undefined;
    });
    for (const one of projects) {
      const refused = kept(one)?.refused[key];
      if (refused !== undefined) context.degraded(capability, new CollectError('forbidden', refused));
      const broken = kept(one)?.broken[key];
      if (broken === undefined) continue;
      if (!works) context.degraded(capability, new CollectError('server_error', broken));
      else
        context.tell(
          `${key} of ${one.name}`,
          { project: one.name, problem: broken },
          `${key} of one project could not be read: what was known of it counts until it can be`,
        );
    }
  }
}
