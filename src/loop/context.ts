import { createHttpClient, type HttpClient } from '../http.ts';
import type { Capability, CollectContext, Logger, Memory } from '../provider.ts';
import type { RegistrySettings } from './settings.ts';
import type { Troubles } from './troubles.ts';

/** One cycle's context, and what has to be known of it afterwards. */
export interface CycleContext {
  readonly context: CollectContext;
  /** Capabilities that failed in this cycle. */
  readonly failing: ReadonlySet<Capability>;
  /** Closes the connections that were opened. */
  close(): void;
}

/** What a provider is lent for one cycle. */
export function createCycleContext(input: {
  readonly settings: RegistrySettings;
  readonly signal: AbortSignal;
  readonly only: readonly string[] | undefined;
  readonly memory: Memory;
  readonly log: Logger;
  readonly troubles: Troubles;
  readonly userAgent: string;
  observe(operation: string, code: string, seconds: number): void;
  progress(done: number, total: number): void;
}): CycleContext {
  const { settings, signal, only, memory, log, troubles, userAgent, observe, progress } = input;
  const clients: HttpClient[] = [];
  const failing = new Set<Capability>();
  return {
    failing,
    close() {
      for (const client of clients) void client.close().catch(() => {});
    },
    context: {
      signal,
      http(options) {
        const client = createHttpClient({ ...settings.http, ...options, signal, userAgent, observe });
        clients.push(client);
        return client;
      },
      log,
      memory,
      wants: settings.wants,
      ...(only && { only }),
      images: settings.images,
      concurrency: settings.http.maxConcurrent,
      degraded(capability, error) {
        if (failing.has(capability)) return;
        failing.add(capability);
        troubles.tell(
          'warn',
          `the capability ${capability}`,
          error,
          `${capability} could not be read: unknown until it works again`,
          { capability },
        );
      },
      progress,
      now: () => Date.now() / 1000,
    },
  };
}
