#!/usr/bin/env node
import type { Signals } from './run.ts';

/** What signals do; what is run changes it. Handlers that are replaced would lose a signal that is on its way. */
const signals: Signals = { end: () => process.exit(0), reload: () => {} };

// Reading the modules below takes most of a second, in which a signal would end the process in its own way.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => signals.end(signal));
process.on('SIGHUP', () => signals.reload());
// A reader that is gone, or a full disk, ends nothing.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const { run } = await import('./run.ts');
await run(process.argv.slice(2), signals);
