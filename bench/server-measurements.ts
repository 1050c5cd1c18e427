import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** What a publish took. */
export interface Publish {
  readonly ms: number;
  readonly renderedBuckets: number;
}

/** What a server says of itself since it was last asked. */
export interface Measurements {
  /** User and system, in milliseconds. */
  readonly cpuMs: number;
  /** The most there ever was, in bytes. */
  readonly peakRss: number;
  readonly rss: number;
  /** The longest time the event loop did not turn, in milliseconds. */
  readonly longestGapMs: number;
}

type Action = () => Promise<Publish>;

/** Listens, tells its parent where, and answers its questions. */
export function serveMeasurements(server: Server, first: Publish, actions: Record<string, Action>): void {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let cpu = process.cpuUsage();
  process.on('message', async (question: string) => {
    const action = actions[question];
    if (action) return void process.send?.(await action());
    const used = process.cpuUsage(cpu);
    const measurements: Measurements = {
      cpuMs: (used.user + used.system) / 1000,
      peakRss: process.resourceUsage().maxRSS * 1024,
      rss: process.memoryUsage.rss(),
      longestGapMs: delay.max / 1e6,
    };
    delay.reset();
    cpu = process.cpuUsage();
    process.send?.(measurements);
  });
  server.listen(0, '127.0.0.1', () =>
    process.send?.({ port: (server.address() as AddressInfo).port, first }),
  );
}
