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
  /** By part: what broke; `lacks`: Harbor does not have it. */
  readonly broken: Readonly<Record<string, { readonly message: string; readonly lacks?: boolean }>>;
}

/** What a part says of a project. */
interface Told<T> {
  readonly value: T;
  /** What of it could not be read. */
  readonly missing?: string;
}

/** How many projects' settings one poll reads anew at most; of more projects the oldest first. */
const projectsPerPoll = 200;
/** So many refusals in a row, none of it allowed, and the rest of the projects is not asked. */
const enoughRefusals = 3;

interface Reads<Key extends keyof ProjectSettings> extends Part {
  readonly key: Key;
  read(one: Project): Promise<Told<ProjectSettings[Key]>>;
}

const rulesOf = (rules: Rules['rules'], missing: number): Told<Rules> =>
  missing > 0
    ? { value: { rules, more: true }, missing: incomplete('rules', missing).message }
    : { value: { rules } };

/** What is read of each project. */
function partsOf(harbor: Harbor): readonly Reads<keyof ProjectSettings>[] {
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
        return rulesOf(items, missing);
      },
    },
    {
      key: 'retention',
      capability: 'practices',
      permission: 'tag-retention:read (project)',
      async read({ metadata }) {
        if (!metadata)
          throw new CollectError('invalid_response', 'the metadata of the project cannot be read');
        const id = metadata.retention_id;
        if (!id) return rulesOf([], 0);
        const path = `/retentions/${encodeURIComponent(id)}`;
        const { rules, trigger } = await harbor.get({ operation: 'retention', path }, retention);
        // Without a schedule nobody but a person at the console ever runs it.
        if (!trigger?.settings?.cron || !rules) return rulesOf([], 0);
        const good = list('rules', rule).safeParse(rules).data ?? [];
        return rulesOf(good, rules.length - good.length);
      },
    },
    {
      key: 'members',
      capability: 'projects',
      permission: 'member:list (project)',
      async read({ name }) {
        const value = await harbor.count({ operation: 'members', path: `${projectPath(name)}/members` });
        return { value, ...(value === undefined && { missing: 'Harbor does not say how many there are' }) };
      },
    },
    {
      key: 'robots',
      capability: 'credentials',
      permission: 'robot:list (project)',
      async read({ name, project_id: id }) {
        const { items, missing } = await readRobots(harbor, { name, id });
        return {
          value: items,
          ...(missing > 0 && { missing: incomplete('robot accounts', missing).message }),
        };
      },
    },
  ];
}

/**
 * When what failed is asked for again, within the interval: after one poll, then after two, four and so on. It may have
 * been a moment's trouble; and what can never succeed is not asked for at every poll.
 */
function retriesOf({ session }: Pick<CollectContext, 'session'>) {
  const kept = session.keep('harbor project settings', () => ({
    poll: 0,
    failed: new Map<string, { readonly times: number; readonly next: number }>(),
  }));
  kept.poll += 1;
  return {
    isDue: (key: string) => (kept.failed.get(key)?.next ?? Number.POSITIVE_INFINITY) <= kept.poll,
    ended(key: string, hasFailed: boolean): void {
      const times = (kept.failed.get(key)?.times ?? 0) + 1;
      if (!hasFailed) kept.failed.delete(key);
      else kept.failed.set(key, { times, next: kept.poll + 2 ** Math.min(times - 1, 20) });
    },
  };
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
  const parts = partsOf(harbor).filter(
    ({ key }) => input.listsAccounts || (key !== 'members' && key !== 'robots'),
  );
  const keyOf = ({ project_id, name }: Project) => `project settings ${project_id} ${name} ${input.account}`;
  const kept = (one: Project) => context.memory.get<Kept>(keyOf(one));
  const retries = retriesOf(context);
  const due = projects
    .map((one) => ({ one, at: retries.isDue(keyOf(one)) ? 0 : (kept(one)?.storedAt ?? 0) }))
    .filter(({ at }) => context.now() - at >= intervalSeconds)
    .toSorted((a, b) => a.at - b.at)
    .slice(0, projectsPerPoll);
  const refusals = new Map<string, number>();

  async function readAnew(one: Project): Promise<void> {
    const before = kept(one)?.value;
    const settings: { -readonly [Key in keyof ProjectSettings]: unknown } = {};
    const refused: Record<string, string> = {};
    const broken: { [key: string]: Kept['broken'][string] } = {};
    for (const { key, permission, read } of parts) {
      if ((refusals.get(key) ?? 0) >= enoughRefusals) {
        refused[key] = `${permission} is missing in the projects that were asked for it`;
        continue;
      }
      try {
        const { value, missing } = await read(one);
        settings[key] = value;
        if (missing !== undefined) broken[key] = { message: missing };
        refusals.set(key, Number.NEGATIVE_INFINITY);
      } catch (error) {
        context.signal.throwIfAborted();
        const { reason, status } = error instanceof CollectError ? error : {};
        if (reason === 'forbidden' || reason === 'auth') {
          refusals.set(key, (refusals.get(key) ?? 0) + 1);
          refused[key] = (explained(error, permission) as CollectError).message;
          continue;
        }
        const message = (error as Error).message.slice(0, 500);
        const lacks = status === 404 || status === 412;
        broken[key] = { message, ...(lacks && { lacks }) };
        if (!lacks) settings[key] = before?.settings[key];
      }
    }
    retries.ended(keyOf(one), Object.keys(broken).length + Object.keys(refused).length > 0);
    context.memory.set(keyOf(one), { settings, refused, broken });
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
      if (!works && !broken.lacks)
        context.degraded(capability, new CollectError('server_error', broken.message));
      else
        context.tell(
          works ? `${key} of ${one.name}` : `no ${key}`,
          { project: one.name, problem: broken.message },
          `${key} of a project could not be read: what is known of it counts until it can be`,
        );
    }
  }
}
