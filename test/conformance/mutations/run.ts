import type { Exposition } from '../../../src/exposition.ts';
import type { Provider } from '../../../src/provider.ts';
import { answersTookMs, type Rewriter, rewriteAnswers } from '../../simulators/answers.ts';
import { type RunningLoop, runLoop } from '../../support/running-loop.ts';
import type { Mutation } from './catalogue.ts';
import { back, type Renames, renamed } from './digests.ts';
import { keyOf, type Names, operationOf, sightingOf } from './sightings.ts';

/** What one poll left behind. */
export interface Observed {
  /** All of `/metrics`. */
  readonly text: string;
  /** Requests by operation. */
  readonly requests: ReadonlyMap<string, number>;
  /** Lines of the log at warn and error. */
  readonly told: readonly string[];
  /** Characters that the poll logged, at all levels. */
  readonly logged: number;
  /** Characters of the status as JSON. */
  readonly status: number;
  /** The longest time that nothing else ran. */
  readonly heldMs: number;
  /** By how much the process grew at most. */
  readonly grownBytes: number;
}

/** How a mutation went: polls with it, and polls after it. */
export interface Run {
  /** How often the changed answer was given, by poll. */
  readonly applied: readonly number[];
  /** The size of the changed answer. */
  readonly bytes: number;
  readonly renames: Renames;
  readonly warm: boolean;
  readonly mutated: readonly Observed[];
  readonly after: readonly Observed[];
}

/** What mutations run against: one simulator, and a loop of its own for each. */
export interface Bench {
  readonly provider: Provider;
  readonly registry: Readonly<Record<string, unknown>>;
  readonly names: Names;
  /** Ports whose answers stay as they are. */
  readonly spared: ReadonlySet<number>;
  /** Another registry is in it too. */
  readonly shared: Exposition;
  /** What was asked of an address that nobody outside may lead to. */
  readonly hits: string[];
}

/**
 * Watches the event loop and the memory, until it is called. The loop is held for as long as it computes: time that
 * other programs take on a busy machine does not count, nor does what the simulator takes for its answers.
 */
function watch(): () => { readonly heldMs: number; readonly grownBytes: number } {
  const before = process.memoryUsage.rss();
  const computed = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  let last = performance.now();
  let used = computed();
  let made = answersTookMs();
  let heldMs = 0;
  let most = before;
  const look = (): void => {
    const [now, cpu, all] = [performance.now(), computed(), answersTookMs()];
    heldMs = Math.max(heldMs, Math.min(now - last, cpu - used) - (all - made));
    [last, used, made] = [now, cpu, all];
    most = Math.max(most, process.memoryUsage.rss());
  };
  const timer = setInterval(look, 5);
  return () => {
    look();
    clearInterval(timer);
    return { heldMs, grownBytes: most - before };
  };
}

/** Looks at some polls and at every answer of them. */
export async function observe(
  bench: Bench,
  running: RunningLoop,
  polls: number,
  rewriter: Rewriter = { answer: () => undefined },
): Promise<Observed[]> {
  const seen: Observed[] = [];
  for (let poll = 0; poll < polls; poll += 1) {
    const requests = new Map<string, number>();
    const end = rewriteAnswers({
      ...rewriter,
      answer(exchange) {
        if (bench.spared.has(exchange.port)) return undefined;
        const operation = operationOf(exchange, bench.names);
        requests.set(operation, (requests.get(operation) ?? 0) + 1);
        return rewriter.answer(exchange);
      },
    });
    const before = running.log().length;
    const watched = watch();
    try {
      await running.poll();
    } finally {
      end();
    }
    const { heldMs, grownBytes } = watched();
    const log = running.log().slice(before);
    seen.push({
      text: await running.text(),
      requests,
      told: log.split('\n').filter((line) => /\blevel=(warn|error)\b/.test(line)),
      logged: log.length,
      status: JSON.stringify(running.loop.status()).length,
      heldMs,
      grownBytes,
    });
  }
  return seen;
}

/** Rewrites what a mutation is for. Only answers of the status that was seen are changed: a refusal stays a refusal. */
function rewriterOf(
  { operation, key, status }: Mutation,
  apply: ReturnType<Mutation['make']>,
  context: { readonly names: Names; readonly renames: Renames; applied(bytes: number): void },
): Rewriter {
  const { names, renames, applied } = context;
  return {
    ...(renames.size > 0 && { asked: (url: string) => back(url, renames) }),
    answer(exchange) {
      const isMeant =
        operationOf(exchange, names) === operation &&
        (key === undefined || keyOf(exchange) === key) &&
        (status === undefined || exchange.status === status);
      const replaced = isMeant ? apply(sightingOf(exchange, names)) : undefined;
      if (replaced) applied(replaced.body?.length ?? exchange.body.length);
      if (renames.size === 0) return replaced;
      return {
        ...replaced,
        headers: JSON.parse(renamed(JSON.stringify(exchange.headers), renames)),
        body: replaced?.body ?? Buffer.from(renamed(exchange.body.toString(), renames)),
      };
    },
  };
}

/** Starts a registry's loop that answers to nobody else. */
export const startLoop = (bench: Bench, more: Readonly<Record<string, unknown>> = {}): Promise<RunningLoop> =>
  runLoop(bench.provider, { ...bench.registry, ...more }, { exposition: bench.shared });

const isUp = ({ text }: Observed): boolean =>
  /^container_registry_up\{[^}]*registry="edge"[^}]*\} 1$/m.test(text);

/**
 * Two polls with the right answers. After a throttle they are as many as the pace needs to grow back: some thirty
 * seconds, which the short deadlines of these polls cut into pieces.
 */
async function recover(bench: Bench, running: RunningLoop, throttled: boolean): Promise<Observed[]> {
  const seen = await observe(bench, running, 2);
  for (let more = 0; throttled && more < 10 && !isUp(seen.at(-1) as Observed); more += 1)
    seen.push(...(await observe(bench, running, 1)));
  return seen;
}

/** Deadlines that a test can wait for: a registry that throttles is waited for until that of the poll. */
function deadlinesFor({ kind }: Mutation, { registry }: Bench): Readonly<Record<string, unknown>> {
  if (kind === 'status 429') return { timeout: '10s' };
  if (kind !== 'no answer') return {};
  return { timeout: '12s', http: { ...(registry['http'] as object), timeout: '1500ms', retries: 4 } };
}

/** Runs three polls with a mutation, and two without it. @param warm whether a clean poll comes first */
export async function runMutation(bench: Bench, mutation: Mutation, warm: boolean): Promise<Run> {
  const apply = mutation.make();
  const renames = mutation.renames();
  const running = await startLoop(bench, deadlinesFor(mutation, bench));
  try {
    if (warm) await observe(bench, running, 1);
    const applied: number[] = [];
    const mutated: Observed[] = [];
    let bytes = 0;
    for (let poll = 0; poll < 3; poll += 1) {
      applied.push(0);
      const context = {
        names: bench.names,
        renames,
        applied(size: number) {
          applied[poll] = (applied[poll] ?? 0) + 1;
          bytes = size;
        },
      };
      mutated.push(...(await observe(bench, running, 1, rewriterOf(mutation, apply, context))));
    }
    const after = await recover(bench, running, mutation.kind === 'status 429');
    return { warm, applied, bytes, renames, mutated, after };
  } finally {
    await running.stop();
    bench.shared.remove('edge');
  }
}
