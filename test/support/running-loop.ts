import { Writable } from 'node:stream';
import { vi } from 'vitest';
import { stringify } from 'yaml';
import { type Config, parseConfig } from '../../src/config.ts';
import { createExposition, type Exposition } from '../../src/exposition.ts';
import type { InUseFeed } from '../../src/in-use/feed.ts';
import { createLogger } from '../../src/log.ts';
import { createZeroShares } from '../../src/loop/push-zeros.ts';
import { createRegistryLoop, type RegistryLoop } from '../../src/loop.ts';
import { openMemory } from '../../src/memory.ts';
import type { Provider } from '../../src/provider.ts';
import { createSelfMetrics } from '../../src/self-metrics.ts';
import { createStorage } from '../../src/storage.ts';

/** One registry's loop with everything real around it; polls happen when the test asks. */
export interface RunningLoop {
  readonly loop: RegistryLoop;
  /** One poll, to its end. */
  poll(): Promise<void>;
  /** Everything that `/metrics` would write, without what prom-client keeps. */
  text(): Promise<string>;
  /** Samples of the families named, without `container_registry_` and without the labels that all have. */
  lines(...families: string[]): Promise<string[]>;
  /** The same without counters of pushes at 0, where all of them begin once a source of events works. */
  counted(...families: string[]): Promise<string[]>;
  /** The value of the only sample of a family, or undefined. */
  value(family: string): Promise<number | undefined>;
  /** Requests by `operation code` since the start. */
  requests(): Promise<Record<string, number>>;
  /** Push events by `source outcome` since the start. */
  events(): Promise<Record<string, number>>;
  /** Everything that was logged. */
  log(): string;
  stop(): Promise<void>;
}

async function textOf(exposition: Exposition): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of exposition.body('text', 'identity', '').buffers()) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

/**
 * Lets the monotonic clock go forward by so long, until the end of the test: `vi.restoreAllMocks`. Timers do not move.
 * @param ms milliseconds
 */
export function letTimePass(ms: number): void {
  ahead += ms;
  vi.spyOn(performance, 'now').mockImplementation(() => realNow() + ahead);
}
const realNow = performance.now.bind(performance);
let ahead = 0;

/**
 * Starts a loop from a registry's part of the configuration; `name` and a schedule that never comes are added.
 * @param storagePath keeps snapshots and memory there
 */
export async function runLoop(
  provider: Provider,
  registry: Readonly<Record<string, unknown>>,
  options: {
    readonly storagePath?: string;
    readonly target?: string;
    readonly keepLog?: boolean;
    readonly exposition?: Exposition;
    /** Of the registry (default `edge`). */
    readonly name?: string;
    /** When the first poll comes by itself; by default it does not. */
    readonly firstPollMs?: number;
    /** Tells what runs. */
    readonly inUse?: InUseFeed;
  } = {},
): Promise<RunningLoop> {
  const { name = 'edge' } = options;
  const config: Config = parseConfig(
    stringify({ registries: [{ name, type: provider.type, schedule: '24h', ...registry }] }),
    { file: 'test.yaml', providers: { [provider.type]: provider }, env: {} },
  );
  const [settings] = config.registries;
  if (!settings) throw new Error('no registry');
  let logged = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      if (options.keepLog !== false) logged += String(chunk);
      done();
    },
  });
  const log = createLogger({ level: 'debug', format: 'logfmt', stream });
  const { exposition = createExposition(), target = 'test' } = options;
  const self = createSelfMetrics({ version: '0.0.0', revision: 'test' });
  const storage = createStorage({ path: options.storagePath, registry: name, target, log });
  const memory = await openMemory({ path: storage.memoryPath, target, log });
  const loop = createRegistryLoop({
    settings,
    provider,
    storage,
    memory,
    exposition,
    self,
    log,
    userAgent: 'container-registry-exporter/test',
    inUse: options.inUse,
    zeroShares: createZeroShares(),
  });
  await loop.start(options.firstPollMs ?? 2 ** 30);
  const shared = `registry="${name}",provider="${provider.label}"`;
  const lines = async (...families: string[]) =>
    (await textOf(exposition))
      .split('\n')
      .filter((line) => line.includes(shared))
      .filter((line) => families.some((family) => new RegExp(`^container_registry_${family}[{ ]`).test(line)))
      .map((line) => line.replace('container_registry_', '').replace(`${shared},`, '').replace(shared, ''));
  return {
    loop,
    poll: () => loop.poll(),
    text: () => textOf(exposition),
    lines,
    counted: async (...families) =>
      (await lines(...families)).filter((line) => !/^push\w*_total\{.* 0$/.test(line)),
    async value(family) {
      const [line] = await lines(family);
      return line === undefined ? undefined : Number(line.split(' ').at(-1));
    },
    async requests() {
      const { values } = await self.apiRequests.get();
      return Object.fromEntries(
        values.map(({ labels, value }) => [`${labels.operation} ${labels.code}`, value]),
      );
    },
    async events() {
      const { values } = await self.events.get();
      return Object.fromEntries(
        values.map(({ labels, value }) => [`${labels.source} ${labels.outcome}`, value]),
      );
    },
    log: () => logged,
    stop: () => loop.stop(),
  };
}
