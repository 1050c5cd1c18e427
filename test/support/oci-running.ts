import { afterEach } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import { type OciSimulator, type OciSimulatorOptions, startOciSimulator } from '../simulators/oci.ts';
import { createStore, type Store } from '../simulators/oci-store.ts';
import { blob, type Content, descriptor, image, layer, manifestOf, mediaTypes } from './oci-image.ts';
import { type RunningLoop, runLoop } from './running-loop.ts';

/** A simulated registry and the exporter that reads it, for tests of what registries do. */
export interface Running {
  readonly store: Store;
  readonly simulator: OciSimulator;
  readonly loop: RunningLoop;
  /** Samples of the families as `lines` gives them, after one poll. */
  poll(...families: string[]): Promise<string[]>;
  /** How often the log says it. */
  said(text: string): number;
  /** Requests of one more poll by operation. */
  cost(): Promise<Record<string, number>>;
}

const open: (() => Promise<void>)[] = [];

/** Closes what {@link startRunning} started, after each test of the file that calls this. */
export function closeAfterEach(): void {
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });
}

/** Starts both; no request is tried again unless the registry's settings say so. */
export async function startRunning(
  fill: (store: Store) => void,
  options: OciSimulatorOptions = {},
  registry: Readonly<Record<string, unknown>> = {},
): Promise<Running> {
  const store = createStore();
  fill(store);
  const simulator = await startOciSimulator({ store, ...options });
  open.push(simulator.close);
  const loop = await runLoop(oci, {
    endpoint: `${simulator.url}${options.prefix ?? ''}`,
    http: { retries: 0 },
    ...registry,
  });
  open.push(() => loop.stop());
  const poll = async (...families: string[]) => {
    await loop.poll();
    return loop.lines(...families);
  };
  return {
    store,
    simulator,
    loop,
    poll,
    said: (text) => loop.log().split(text).length - 1,
    async cost() {
      simulator.requests.clear();
      await loop.poll();
      return Object.fromEntries([...simulator.requests].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    },
  };
}

/** An image that differs from others by its name; older by so many seconds than a day in November 2026. */
export const built = (name: string, age = 0): Content =>
  image({ layers: [layer(name, 1000)], created: 1_795_000_000 - age });

/** An image with such a configuration, whatever it is. */
export function withConfig(config: string | Buffer, more: object = {}): Content {
  const blobs = [blob(config), blob(layer('of-odd', 1000))] as const;
  return manifestOf(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: descriptor(mediaTypes.config, blobs[0]),
      layers: [descriptor(mediaTypes.layer, blobs[1])],
      ...more,
    },
    mediaTypes.manifest,
    blobs,
  );
}
