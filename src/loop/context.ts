import type { ImageSelection } from '../bounded.ts';
import { defined } from '../defined.ts';
import type { CollectError } from '../errors.ts';
import { createCalls } from '../http/calls.ts';
import { createHangs } from '../http/hangs.ts';
import { createLimiters } from '../http/limiters.ts';
import { createRefusals, type LastRefusal } from '../http/refusals.ts';
import { createHttpClient, type HttpClient } from '../http.ts';
import type { Capability, CollectContext, Logger, Memory, ReadingOrder, Session } from '../provider.ts';
import type { PollNotices } from './notices.ts';
import type { RegistrySettings } from './settings.ts';
import type { Troubles } from './troubles.ts';

/** One cycle's context, and what has to be known of it afterwards. */
export interface CycleContext {
  readonly context: CollectContext;
  /** Capabilities that failed in this cycle, each with its first error. */
  readonly failing: ReadonlyMap<Capability, unknown>;
  /** Capabilities that this registry does not have. */
  readonly absent: ReadonlySet<Capability>;
  /** Why requests wait or waited at the deadline: the registry's refusal, when it throttles. */
  heldBack(): CollectError | undefined;
  /** Ends what is still open, and closes the connections. */
  close(): void;
}

/** What hangs, or is asked aside, takes so much of a poll's time at most: the contents are to be read in the rest. */
const patienceShare = 1 / 4;

/** A session that lives as long as whoever holds it. */
export function createSession(): Session {
  const kept = new Map<string, unknown>();
  return {
    keep<T>(key: string, make: () => T): T {
      if (!kept.has(key)) kept.set(key, make());
      return kept.get(key) as T;
    },
    forget: (key) => void kept.delete(key),
  };
}

/** What a provider is lent for one cycle. */
export function createCycleContext(input: {
  readonly settings: RegistrySettings;
  /** Those of the settings where nothing else is said. */
  readonly images?: ImageSelection | undefined;
  readonly signal: AbortSignal;
  readonly only: readonly string[] | undefined;
  readonly memory: Memory;
  readonly session: Session;
  readonly log: Logger;
  readonly troubles: Troubles;
  readonly notices: PollNotices;
  readonly userAgent: string;
  readonly order?: ReadingOrder | undefined;
  observe(operation: string, code: string, seconds: number): void;
  progress(done: number, total: number): void;
}): CycleContext {
  const { settings, only, memory, session, log, troubles, notices, userAgent } = input;
  const { order, observe, progress } = input;
  const limiters = session.keep('limiters of requests', () => createLimiters(settings.http));
  const refusals = createRefusals(session.keep('the last refusal', (): LastRefusal => ({})));
  const clients: HttpClient[] = [];
  const failing = new Map<Capability, unknown>();
  const absent = new Set<Capability>();
  const over = new AbortController();
  const signal = AbortSignal.any([input.signal, over.signal]);
  const patienceMs = settings.timeoutMs * patienceShare;
  const shared = { limiters, refusals, hangs: createHangs(), patienceMs, signal };
  return {
    failing,
    absent,
    heldBack: () => refusals.why(),
    close() {
      // What was open when a poll failed is no failure of its own.
      over.abort(new DOMException('the poll is over', 'AbortError'));
      for (const client of clients) void client.close().catch(() => {});
    },
    context: {
      signal,
      http(options) {
        const client = createHttpClient({
          ...settings.http,
          ...(options && defined(options)),
          ...shared,
          userAgent,
          observe,
          onOddity: (operation, { at, problem }) =>
            notices.tell(
              `odd ${operation} ${at}`,
              { operation, at, problem },
              'a part of an answer could not be understood and was left out',
            ),
        });
        clients.push(client);
        return client;
      },
      calls: () => createCalls({ ...settings.http, ...shared, observe }),
      connection: settings.http,
      session,
      log,
      memory,
      wants: settings.wants,
      include: settings.include,
      only,
      order,
      images: input.images ?? settings.images,
      concurrency: settings.http.maxConcurrent,
      degraded(capability, error) {
        if (over.signal.aborted || failing.has(capability)) return;
        failing.set(capability, error);
        troubles.tell(
          'warn',
          `the capability ${capability}`,
          error,
          `${capability} could not be read: unknown until it works again`,
          { capability },
        );
      },
      tell: notices.tell,
      absent: (capability) => void absent.add(capability),
      progress,
      now: () => Date.now() / 1000,
    },
  };
}
