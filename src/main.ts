#!/usr/bin/env node
import { build } from './build.ts';
import { type Flags, parseFlags, UsageError, usage } from './cli.ts';
import { ConfigError, checkConfig } from './config.ts';
import { createDaemon } from './daemon.ts';
import { createEventReceiver } from './events.ts';
import { createExposition } from './exposition.ts';
import { createLogger } from './log.ts';
import { providers } from './providers/index.ts';
import { createSelfMetrics } from './self-metrics.ts';
import { ListenError, listen } from './server/listen.ts';
import { loadWebConfig } from './server/web-config.ts';
import { createApp } from './server.ts';

/** Scrapes in flight may end, and state is saved, within this time. */
const graceMs = 4_000;

async function run(flags: Flags): Promise<void> {
  const log = createLogger({ level: flags.logLevel, format: flags.logFormat });
  const exposition = createExposition();
  const self = createSelfMetrics(build);
  const daemon = createDaemon({
    ...flags,
    providers,
    exposition,
    self,
    log,
    userAgent: `container-registry-exporter/${build.version}`,
  });
  let configured = false;
  const listeners = await listen({
    addresses: flags.listenAddresses,
    webConfigFile: flags.webConfigFile,
    log,
    app: (web) =>
      createApp({
        ...flags,
        exposition,
        self,
        log,
        build,
        web,
        loops: () => (configured ? daemon.loops() : undefined),
        entries: daemon.entries,
        reload: daemon.reload,
        events: createEventReceiver({
          log,
          target: daemon.eventTarget,
          starting: () => !configured || daemon.starting(),
        }),
      }),
  });
  // Before the first poll is set up: whoever ends a start that takes long gets an orderly end as well.
  process.on('SIGHUP', () => {
    daemon
      .reload()
      .catch((error) => log.error({ err: error }, 'the configuration was refused: the old one runs on'));
  });
  const stop = async (signal: string): Promise<void> => {
    log.info({ signal }, 'stopping');
    setTimeout(() => process.exit(0), graceMs).unref();
    await Promise.all([listeners.close(), daemon.stop()]);
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop(signal));
  await daemon.reload();
  configured = true;
  for (const address of listeners.addresses) log.info({ address, version: build.version }, 'listening');
}

try {
  const flags = parseFlags(process.argv.slice(2));
  if (flags === 'help') process.stdout.write(usage);
  else if (flags === 'version')
    process.stdout.write(
      `container-registry-exporter ${build.version} (revision ${build.revision}, node ${process.version})\n`,
    );
  else if (flags.checkOnly) {
    const { registries } = await checkConfig(flags.configFile, providers);
    if (flags.webConfigFile !== undefined) loadWebConfig(flags.webConfigFile);
    process.stdout.write(`${flags.configFile}: ${registries.length} registries, no mistakes\n`);
  } else await run(flags);
} catch (error) {
  const expected = [UsageError, ConfigError, ListenError].some((kind) => error instanceof kind);
  process.stderr.write(`${expected ? (error as Error).message : (error as Error).stack}\n`);
  process.exit(error instanceof UsageError ? 2 : 1);
}
