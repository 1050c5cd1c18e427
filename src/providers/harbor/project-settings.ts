import pMap from 'p-map';
import { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { needing } from '../../parts.ts';
import type { Capability, CollectContext } from '../../provider.ts';
import { list, optional } from '../../wire.ts';
import { type Harbor, projectPath } from './client.ts';
import { incomplete } from './optional-parts.ts';
import { oldest } from './per-project.ts';
import { type Project, type ProjectSettings, type Rules, rule } from './projects.ts';
import { readRobots } from './robots.ts';

const immutableRule = z.object({ id: optional('id', z.number()), ...rule.shape });
const retention = z.object({
  // An empty list is `null`; Go does not leave it out.
  rules: z.array(z.unknown()).nullable(),
  trigger: z.object({ settings: z.object({ cron: z.string().max(256).nullish() }).nullish() }).nullish(),
});

type Key = keyof ProjectSettings;

/** Why a setting could not be read, or not as a whole. */
interface Broken {
  readonly message: string;
  /** Harbor does not have it. */
  readonly lacks?: boolean;
}

/** What is remembered of a project. */
interface Remembered {
  readonly settings: ProjectSettings;
  /** By setting: the refusal, for as long as it is not asked for again. */
  readonly refused: Readonly<Partial<Record<Key, string>>>;
  readonly broken: Readonly<Partial<Record<Key, Broken>>>;
}

/** After so many refusals in a row of what no project allowed, the other projects are not asked. */
const enoughRefusals = 3;

/** What was read of one setting. */
interface Reading<T> {
  readonly value: T;
  /** What of it could not be read. */
  readonly missing?: string | undefined;
}

interface Setting {
  readonly key: Key;
  readonly capability: Capability;
  readonly permission: string;
  read(harbor: Harbor, project: Project): Promise<Reading<ProjectSettings[Key]>>;
}

const isRefusal = (error: unknown): boolean => ['forbidden', 'auth'].includes(reasonOf(error));
/** Whether Harbor says that it does not have the setting. */
const isAbsence = (error: unknown): boolean =>
  error instanceof CollectError && [404, 412].includes(error.status ?? 0);

const missingOf = (what: string, missing: number) =>
  missing > 0 ? incomplete(what, missing).message : undefined;
const rulesOf = (rules: Rules['rules'], missing: number): Reading<Rules> => ({
  value: { rules, more: missing > 0 },
  missing: missingOf('rules', missing),
});

async function readRetention(harbor: Harbor, { metadata }: Project): Promise<Reading<Rules>> {
  if (!metadata) throw new CollectError('invalid_response', 'the metadata of the project cannot be read');
  const id = metadata.retention_id;
  if (!id) return rulesOf([], 0);
  const path = `/retentions/${encodeURIComponent(id)}`;
  const { rules, trigger } = await harbor.get({ operation: 'retention', path }, retention);
  // Without a schedule it runs only when a person starts it.
  if (!trigger?.settings?.cron || !rules) return rulesOf([], 0);
  const readable = list('rules', rule).safeParse(rules).data ?? [];
  return rulesOf(readable, rules.length - readable.length);
}

const settings: readonly Setting[] = [
  {
    key: 'immutable',
    capability: 'practices',
    permission: 'immutable-tag:list (project)',
    async read(harbor, { name }) {
      const question = { operation: 'immutable_rules', path: `${projectPath(name)}/immutabletagrules` };
      const { items, missing } = await harbor.all(question, immutableRule, (rule) => rule.id ?? rule);
      return rulesOf(items, missing);
    },
  },
  {
    key: 'retention',
    capability: 'practices',
    permission: 'tag-retention:read (project)',
    read: readRetention,
  },
  {
    key: 'members',
    capability: 'projects',
    permission: 'member:list (project)',
    async read(harbor, { name }) {
      const value = await harbor.count({ operation: 'members', path: `${projectPath(name)}/members` });
      return { value, missing: value === undefined ? 'Harbor does not say how many there are' : undefined };
    },
  },
  {
    key: 'robots',
    capability: 'credentials',
    permission: 'robot:list (project)',
    async read(harbor, { name, project_id: id }) {
      const { items, missing } = await readRobots(harbor, { name, id });
      return { value: items, missing: missingOf('robot accounts', missing) };
    },
  },
];

/**
 * When what failed is asked for again, within the interval: after one poll, then after two, four and so on. It may have
 * been a passing fault; and what can never succeed is not asked for at every poll.
 */
function retriesOf({ session }: Pick<CollectContext, 'session'>) {
  const kept = session.keep('harbor project settings', () => ({
    poll: 0,
    failures: new Map<string, { readonly times: number; readonly next: number }>(),
  }));
  kept.poll += 1;
  return {
    isDue: (key: string) => (kept.failures.get(key)?.next ?? Number.POSITIVE_INFINITY) <= kept.poll,
    ended(key: string, hasFailed: boolean): void {
      const times = (kept.failures.get(key)?.times ?? 0) + 1;
      if (!hasFailed) kept.failures.delete(key);
      else kept.failures.set(key, { times, next: kept.poll + 2 ** Math.min(times - 1, 20) });
    },
  };
}

export interface SettingsInput {
  readonly harbor: Harbor;
  readonly context: CollectContext;
  readonly projects: readonly Project[];
  readonly intervalSeconds: number;
  /** Whether the account can be allowed to list members and robot accounts: no robot can before 2.12. */
  readonly listsAccounts: boolean;
  /** Who asks: another account may be allowed other things. */
  readonly account: string;
}

/** The settings of all projects: those that are old are read again, the others come from the memory. */
export async function readProjectSettings(
  input: SettingsInput,
): Promise<ReadonlyMap<string, ProjectSettings>> {
  const { harbor, context, projects, intervalSeconds, listsAccounts, account } = input;
  const asked = settings.filter(({ key }) => listsAccounts || (key !== 'members' && key !== 'robots'));
  const keyOf = ({ project_id, name }: Project) => `project settings ${project_id} ${name} ${account}`;
  const remembered = (project: Project) => context.memory.get<Remembered>(keyOf(project))?.value;
  const retries = retriesOf(context);
  const due = oldest(context, projects, intervalSeconds, keyOf, retries.isDue);
  const reader = createReader(harbor, context, asked);
  await pMap(
    due,
    async (project) => {
      const read = await reader(project, remembered(project)?.settings);
      retries.ended(keyOf(project), Object.keys({ ...read.broken, ...read.refused }).length > 0);
      context.memory.set(keyOf(project), read);
    },
    { concurrency: context.concurrency },
  );
  tellWhatFailed(context, asked, new Map(projects.map((project) => [project.name, remembered(project)])));
  return new Map(projects.map((project) => [project.name, remembered(project)?.settings ?? {}]));
}

/** Reads all settings of one project after the other. */
function createReader(harbor: Harbor, context: CollectContext, asked: readonly Setting[]) {
  /** Refusals in a row, by setting. */
  const refusals = new Map<Key, number>();

  async function readSetting(
    { key, permission, read }: Setting,
    project: Project,
    before: unknown,
  ): Promise<{ readonly value?: unknown; readonly refused?: string; readonly broken?: Broken }> {
    const count = refusals.get(key) ?? 0;
    if (count >= enoughRefusals)
      return { refused: `${permission} is missing in the projects that were asked for it` };
    try {
      const { value, missing } = await read(harbor, project);
      refusals.set(key, Number.NEGATIVE_INFINITY);
      return { value, broken: missing === undefined ? undefined : { message: missing } };
    } catch (error) {
      context.signal.throwIfAborted();
      const message = (needing(permission, error) as Error).message.slice(0, 500);
      if (isRefusal(error)) {
        refusals.set(key, count + 1);
        return { refused: message };
      }
      const lacks = isAbsence(error);
      return { value: lacks ? undefined : before, broken: { message, lacks } };
    }
  }

  return async (project: Project, before: ProjectSettings | undefined): Promise<Remembered> => {
    const values: { [Name in Key]?: unknown } = {};
    const refused: Partial<Record<Key, string>> = {};
    const broken: Partial<Record<Key, Broken>> = {};
    for (const setting of asked) {
      const { key } = setting;
      const reading = await readSetting(setting, project, before?.[key]);
      values[key] = reading.value;
      if (reading.refused !== undefined) refused[key] = reading.refused;
      if (reading.broken) broken[key] = reading.broken;
    }
    return { settings: values as ProjectSettings, refused, broken };
  };
}

/** What is refused, or breaks in every project, degrades its capability; what breaks in one is reported. */
function tellWhatFailed(
  context: CollectContext,
  asked: readonly Setting[],
  projects: ReadonlyMap<string, Remembered | undefined>,
): void {
  const all = [...projects].flatMap(([project, remembered]) =>
    remembered ? [{ project, ...remembered }] : [],
  );
  for (const { key, capability } of asked) {
    const works = all.some(({ settings, broken }) => settings[key] !== undefined && !broken[key]);
    const refusals = all.flatMap(({ refused }) => refused[key] ?? []);
    for (const refusal of refusals) context.degraded(capability, new CollectError('forbidden', refusal));
    const faults = all.flatMap(({ project, broken }) => {
      const fault = broken[key];
      return fault ? [{ project, ...fault }] : [];
    });
    for (const { project, message, lacks } of faults)
      if (!works && !lacks) context.degraded(capability, new CollectError('server_error', message));
      else
        context.tell(
          works ? `${key} of ${project}` : `no ${key}`,
          { project, problem: message },
          `${key} of a project could not be read: what is known of it counts until it can be`,
        );
  }
}
