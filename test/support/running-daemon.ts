import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AskPeer } from '../../src/daemon/offers.ts';
import { createDaemon, type Daemon } from '../../src/daemon.ts';
import { createExposition, type Exposition } from '../../src/exposition.ts';
import type { Provider } from '../../src/provider.ts';
import { createSelfMetrics } from '../../src/self-metrics.ts';
import { recordingLog } from './web.ts';

/** A daemon without a server: all loops of a configuration, and what they expose. */
export interface RunningDaemon {
  readonly daemon: Daemon;
  /** What was logged, a line each. */
  readonly lines: readonly string[];
  /** Everything that `/metrics` would write, without what prom-client keeps. */
  text(): Promise<string>;
  /** What prom-client keeps. */
  own(): Promise<string>;
  /** Labels of each sample of a family, without `container_registry_`, in order. */
  labels(family: string): Promise<string[]>;
  reload(config: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a daemon from the text of its configuration. @throws ConfigError when that is refused */
export async function startDaemon(
  providers: Readonly<Record<string, Provider>>,
  config: string,
  options: {
    readonly exposition?: Exposition;
    readonly storagePath?: string;
    readonly shard?: number;
    readonly askPeer?: AskPeer;
  } = {},
): Promise<RunningDaemon> {
  const folder = await mkdtemp(join(tmpdir(), 'daemon-'));
  const configFile = join(folder, 'config.yaml');
  const { log, lines } = recordingLog();
  const { exposition = createExposition() } = options;
  const self = createSelfMetrics({ version: '0', revision: 'test' });
  const daemon = createDaemon({
    configFile,
    storagePath: options.storagePath,
    shard: options.shard,
    askPeer: options.askPeer,
    providers,
    exposition,
    self,
    log: Object.assign(log, { child: () => log }) as never,
    userAgent: 'test',
  });
  const text = async () => {
    const pieces: Buffer[] = [];
    for await (const piece of exposition.body('text', 'identity', '').buffers()) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  };
  const reload = async (next: string) => {
    await writeFile(configFile, next);
    await daemon.reload();
  };
  await reload(config);
  return {
    daemon,
    lines,
    text,
    reload,
    own: () => self.registry.metrics(),
    async labels(family) {
      const sample = new RegExp(`^container_registry_${family}\\{(.*)\\} `);
      return (await text())
        .split('\n')
        .flatMap((line) => sample.exec(line)?.[1] ?? [])
        .sort();
    },
    async stop() {
      await daemon.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
