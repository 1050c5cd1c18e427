import { pauseWithin, startDeadline } from '../deadline.ts';
import { CollectError, type FailureReason, reasonOf } from '../errors.ts';
import { createLimiters } from '../http/limiters.ts';
import type { PemSettings } from '../http/tls.ts';
import { createHttpClient, type HttpClient } from '../http.ts';
import type { SourceSettings } from '../in-use/settings.ts';
import type { InUseSource } from '../in-use/source.ts';
import { Counting, type Tally } from '../in-use/tally.ts';
import { createTroubles } from '../loop/troubles.ts';
import { keptMessage } from '../names.ts';
import type { Logger } from '../provider.ts';

/** What one source last answered. */
export interface SourceState {
  /** Whether the last reading worked; undefined before the first ended. */
  readonly up: boolean | undefined;
  /** The last good answer, and when it was so (Unix seconds). */
  readonly answer: { readonly tally: Tally; readonly at: number } | undefined;
  /** Why the last reading failed. */
  readonly error?:
    | { readonly at: number; readonly reason: FailureReason; readonly message: string }
    | undefined;
}

/** Reads one source again and again. */
export interface SourceReader {
  readonly settings: SourceSettings;
  state(): SourceState;
  /** The answer, while it is not too old. */
  fresh(): Tally | undefined;
  stop(): Promise<void>;
}

interface ReaderInput {
  readonly settings: SourceSettings;
  readonly source: InUseSource;
  readonly log: Logger;
  readonly userAgent: string;
  /** Called when the answer changed, failed for the first time or became too old. */
  changed(): void;
}

/** @returns reads the source once, under its deadline */
function createReading({ settings, source, log, userAgent }: ReaderInput, stopping: AbortSignal) {
  const limits = { maxConcurrent: 2 };
  const limiters = createLimiters(limits);
  return async (): Promise<{ readonly tally: Tally; readonly at: number }> => {
    const deadline = startDeadline(stopping, settings.timeoutMs);
    const { signal } = deadline;
    const clients: HttpClient[] = [];
    const http = (pem?: PemSettings) => {
      const { timeoutMs, maxBytes } = settings;
      const tls = { ...settings.tls, caFile: settings.tls.caFile ?? source.caFile };
      const client = createHttpClient({
        ...{ ...tls, ...limits, pem, limiters, timeoutMs, maxBytes, signal, userAgent },
        retries: 2,
        observe() {},
      });
      clients.push(client);
      return client;
    };
    try {
      const count = () => new Counting();
      const { counted, at = Date.now() / 1000 } = await source.read({ signal, http, count, log });
      return { tally: counted.tally(), at };
    } catch (cause) {
      if (stopping.aborted || !deadline.passed()) throw cause;
      throw new CollectError(
        'timeout',
        `what runs was not read within ${settings.timeoutMs} ms: raise timeout`,
        { cause },
      );
    } finally {
      deadline.clear();
      for (const client of clients) void client.close().catch(() => {});
    }
  };
}

export function startSource(input: ReaderInput): SourceReader {
  const { settings, log, changed } = input;
  const stopping = new AbortController();
  const read = createReading(input, stopping.signal);
  const troubles = createTroubles(log);
  const what = `what runs, from ${settings.name}`;
  let state: SourceState = { up: undefined, answer: undefined };
  let doubted = false;
  const isFresh = () =>
    state.answer !== undefined && Date.now() / 1000 - state.answer.at < settings.staleAfterMs / 1000;

  /** A fleet that runs nothing all of a sudden is also what a broken query looks like: it is believed when it says so twice. */
  function take(answer: NonNullable<SourceState['answer']>): void {
    const isSudden = answer.tally.containers === 0 && (state.answer?.tally.containers ?? 0) > 0;
    if (isSudden && !doubted) {
      doubted = true;
      log.warn(
        {},
        `${what}: nothing at all, all of a sudden: the last answer stays until the next one says so too`,
      );
      state = { up: true, answer: state.answer };
      return;
    }
    doubted = false;
    state = { up: true, answer };
  }

  async function readOnce(): Promise<void> {
    try {
      take(await read());
      if (isFresh()) troubles.over(what);
      else
        troubles.tell(
          'warn',
          what,
          new CollectError('partial', 'it is too old'),
          `${what}: it is older than staleAfter, and does not count`,
        );
    } catch (error) {
      if (stopping.signal.aborted) return;
      state = {
        ...state,
        up: false,
        error: {
          at: Date.now() / 1000,
          reason: reasonOf(error),
          message: keptMessage(error instanceof Error ? error.message : String(error)),
        },
      };
      troubles.tell(
        'warn',
        what,
        error,
        `${what}: it could not be read: the last answer counts until it is too old`,
        { source: settings.name },
      );
    }
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await readOnce();
      if (stopping.signal.aborted) return;
      changed();
      await pauseWithin(stopping.signal, settings.intervalMs);
    }
  })();

  return {
    settings,
    state: () => state,
    fresh: () => (isFresh() ? state.answer?.tally : undefined),
    async stop() {
      stopping.abort(new Error('the source is no longer read'));
      await running;
    },
  };
}
