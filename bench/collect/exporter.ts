import { createCycleContext, createSession } from '../../src/loop/context.ts';
import { foldStream } from '../../src/loop/fold-stream.ts';
import { createNotices } from '../../src/loop/notices.ts';
import type { RegistrySettings } from '../../src/loop/settings.ts';
import { createTroubles } from '../../src/loop/troubles.ts';
import type { Memory, Provider } from '../../src/provider.ts';
import { unpackTotals } from '../../src/totals.ts';

const log = { debug() {}, info() {}, warn: console.error, error: console.error };
const nothing: Memory = { get: () => undefined, set: () => {} };

/** One cycle of a provider and its fold, with all that the loop lends them. @returns how many images were counted */
export async function runCycle(
  provider: Provider,
  options: Readonly<Record<string, unknown>>,
  maxConcurrent = provider.http?.maxConcurrent ?? 8,
): Promise<number> {
  const settings: RegistrySettings = {
    name: 'bench',
    when: { everyMs: 3_600_000 },
    intervalMs: 3_600_000,
    timeoutMs: 3_600_000,
    staleAfterMs: 3_600_000,
    maxSeries: 1_000_000,
    images: { perRepository: 3, matches: () => false },
    wants: () => true,
    http: { maxConcurrent, timeoutMs: 60_000, maxBytes: 32 * 2 ** 20, retries: 0 },
    options: provider.options.parse(options),
  };
  const signal = new AbortController().signal;
  const { context, close } = createCycleContext({
    settings,
    signal,
    only: undefined,
    memory: nothing,
    session: createSession(),
    log,
    troubles: createTroubles(log),
    notices: createNotices(log).begin(),
    userAgent: 'bench',
    observe() {},
    progress() {},
  });
  const { images } = settings;
  const now = Date.now() / 1000;
  const { complete, failed } = await foldStream(
    provider.collect(settings.options, context),
    { images, now },
    { signal, passed: () => false },
  );
  close();
  for (const error of failed.values()) throw error;
  let counted = 0;
  for (const packed of complete.values()) {
    const { tagged = 0, untagged = 0 } = unpackTotals(packed);
    counted += tagged + untagged;
  }
  return counted;
}
