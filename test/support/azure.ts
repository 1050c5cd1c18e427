import { afterEach } from 'vitest';
import { acr } from '../../src/providers/acr.ts';
import { type SimulatedAzure, startAzure } from '../simulators/azure.ts';
import { type RunningLoop, runLoop } from './running-loop.ts';

/** Not held back: what is tested is not the rate. Deadlines are for what hangs. */
export const unhurried = { timeout: '2m', http: { timeout: '30s', retries: 2, requestsPerSecond: 100_000 } };

/** Starts registries in a simulated Azure, with a loop that polls them; all of it ends with the test. */
export function azureFixture(): {
  start(
    options: Parameters<typeof startAzure>[0],
    more?: Readonly<Record<string, unknown>>,
  ): Promise<{ azure: SimulatedAzure; running: RunningLoop }>;
} {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  });
  return {
    async start(options, more = {}) {
      const azure = await startAzure(options);
      open.push(azure);
      const running = await runLoop(acr, { ...unhurried, ...azure.settings, ...more });
      open.push({ close: () => running.stop() });
      return { azure, running };
    },
  };
}

/** Capabilities that are down, in the last poll. */
export async function down(running: RunningLoop): Promise<string[]> {
  return (await running.lines('capability_up'))
    .filter((line) => line.endsWith(' 0'))
    .map((line) => /capability="([^"]+)"/.exec(line)?.[1] ?? '');
}

/** Lines of the log above the debug level that name a text. */
export const told = (running: RunningLoop, text: string): string[] =>
  running
    .log()
    .split('\n')
    .filter((line) => !line.includes('level=debug') && line.includes(text));
