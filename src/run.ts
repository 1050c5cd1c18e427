import { build } from './build.ts';
import { type Flags, parseFlags, UsageError, usage } from './cli.ts';
import { watchContent } from './config/watch.ts';
import { ConfigError, checkConfig } from './config.ts';
import { describeShards } from './daemon/shards.ts';
import { createDaemon, type Daemon } from './daemon.ts';
import { createExposition } from './exposition.ts';
import { watchFaults } from './faults.ts';
import { leave } from './leave.ts';
import { createLogger } from './log.ts';
import { createLogOutput } from './log-output.ts';
import { providers } from './providers/index.ts';
import { createSelfMetrics } from './self-metrics.ts';
import { createEventReceiver } from './server/events.ts';
import { createForward } from './server/forward.ts';
import { createHealthApp } from './server/health.ts';
import { ListenError, type Listeners, listen } from './server/listen.ts';
import { createAskPeer } from './server/peers.ts';
import { createStateRoute } from './server/state.ts';
import { loadWebConfig } from './server/web-config.ts';
import { createApp, createEventsApp } from './server.ts';
import { lockStorage, StorageInUseError } from './storage/lock.ts';

/** Scrapes in flight may end, and state is saved, within this time. */
const graceMs = 3_500;
/** The configuration's file is looked at this often; a change counts at the second look. */
const configLookMs = 5_000;

/** The logger, and how it ends. */
function openLog({ logLevel, logFormat }: Flags) {
  const output = createLogOutput(2, (count) => {
    let line = '';
    const stream = { write: (text: string) => (line += text) };
    createLogger({ level: 'warn', format: logFormat, stream }).warn(
      { count },
      'log lines could not be written',
    );
    return line;
  });
  return { log: createLogger({ level: logLevel, format: logFormat, stream: output }), flush: output.flush };
}

async function runDaemon(flags: Flags, signals: Signals): Promise<void> {
  const log = openLog(flags);
  try {
    await startDaemon(flags, signals, log);
  } catch (error) {
    await log.flush();
    throw error;
  }
}

async function startDaemon(
  flags: Flags,
  signals: Signals,
  { log, flush }: ReturnType<typeof openLog>,
): Promise<void> {
  const exposition = createExposition();
  const self = createSelfMetrics(build);
  const daemon = createDaemon({
    ...flags,
    providers,
    exposition,
    self,
    log,
    askPeer: flags.shardPeers === undefined ? undefined : createAskPeer(flags.shardPeers, log),
    userAgent: `container-registry-exporter/${build.version}`,
  });
  let listeners: readonly Listeners[] = [];
  let isEnding = false;
  const end = async (code: number): Promise<void> => {
    if (isEnding) return;
    isEnding = true;
    setTimeout(() => leave(code), graceMs);
    await Promise.all([...listeners.map((each) => each.close()), daemon.stop()]);
    await flush();
    leave(code);
  };
  // Before anything that may take long: whoever ends a start gets an orderly end as well.
  watchFaults(log, () => void end(1));
  signals.end = (signal) => {
    log.info({ signal }, 'stopping');
    void end(0);
  };
  let reloading: Promise<void> | undefined;
  signals.reload = () => {
    if (isEnding) return;
    const reload = daemon.reload();
    if (reload === reloading) return;
    reloading = reload;
    reload.catch((error) => log.error({ err: error }, 'the configuration was refused: the old one runs on'));
  };

  if (flags.storagePath !== undefined)
    await lockStorage(flags.storagePath, log, (error) => {
      log.error(
        { err: error },
        'the storage folder was removed, and another exporter took it: this one ends',
      );
      void end(1);
    });
  if (flags.watchConfig) await watchContent(flags.configFile, configLookMs, () => signals.reload());
  let configured = false;
  listeners = await openAddresses(flags, { daemon, exposition, self, log, isConfigured: () => configured });
  await daemon.reload();
  configured = true;
  for (const address of listeners.flatMap(({ addresses }) => addresses))
    log.info({ address, version: build.version }, 'listening');
}

/** Listens on the addresses of the metrics, and on those of probes and push events where there are any. */
async function openAddresses(
  flags: Flags,
  parts: Pick<Parameters<typeof createApp>[0], 'exposition' | 'self' | 'log'> & {
    readonly daemon: Daemon;
    isConfigured(): boolean;
  },
): Promise<Listeners[]> {
  const { daemon, log, isConfigured } = parts;
  const health = {
    loops: () => (isConfigured() ? daemon.loops() : undefined),
    entries: daemon.entries,
    inUse: daemon.inUse,
  };
  const events = createEventReceiver({
    log,
    target: daemon.eventTarget,
    forward: createForward(flags.shardPeers, log),
    starting: () => !isConfigured() || daemon.starting(),
  });
  const state = flags.shardPeers === undefined ? undefined : createStateRoute(daemon.savedState);
  const main = await listen({
    addresses: flags.listenAddresses,
    webConfigFile: flags.webConfigFile,
    log,
    app: (web) =>
      createApp({ ...flags, ...parts, ...health, build, web, reload: daemon.reload, events, state }),
  });
  const probes = await listen({
    flag: 'web.health-listen-address',
    addresses: flags.healthAddresses,
    webConfigFile: undefined,
    log,
    app: () => createHealthApp(health),
  });
  const received = await listen({
    flag: 'web.events-listen-address',
    addresses: flags.eventsAddresses,
    webConfigFile: flags.webConfigFile,
    log,
    app: (web) => createEventsApp({ events, log, web }),
  });
  return [main, probes, received];
}

/** What signals do. */
export interface Signals {
  end: (signal: string) => void;
  reload: () => void;
}

/** Does what the command line asks for, and says what signals do from then on. */
export async function run(args: readonly string[], signals: Signals): Promise<void> {
  try {
    const flags = parseFlags(args);
    if (flags === 'help') process.stdout.write(usage);
    else if (flags === 'version')
      process.stdout.write(
        `container-registry-exporter ${build.version} (revision ${build.revision}, node ${process.version})\n`,
      );
    else if (flags.checkOnly) {
      const config = await checkConfig(flags.configFile, providers);
      if (flags.webConfigFile !== undefined) loadWebConfig(flags.webConfigFile);
      process.stdout.write(`${flags.configFile}: ${config.registries.length} registries, no mistakes\n`);
      process.stdout.write(describeShards(config.registries, flags.shards ?? config.shards));
    } else await runDaemon(flags, signals);
  } catch (error) {
    const expected = [UsageError, ConfigError, ListenError, StorageInUseError].some(
      (kind) => error instanceof kind,
    );
    process.stderr.write(`${expected ? (error as Error).message : (error as Error).stack}\n`);
    leave(error instanceof UsageError ? 2 : 1);
  }
}
