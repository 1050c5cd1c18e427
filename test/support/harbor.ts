import { afterEach } from 'vitest';
import { harbor } from '../../src/providers/harbor.ts';
import { createEstate, type Estate, type EstateImage, type EstateRepository } from '../simulators/estate.ts';
import {
  type HarborSimulator,
  type HarborSimulatorOptions,
  startHarborSimulator,
} from '../simulators/harbor.ts';
import { createHarborWorld, type HarborWorld } from '../simulators/harbor-world.ts';
import { type RunningLoop, runLoop } from './running-loop.ts';

export const now = 1_795_000_000;
export const robot = { username: 'robot$exporter', password: 'r0bot-S3cret-x' };
export const admin = { username: 'admin', password: 'Harbor12345-adm' };

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

export interface HarborSetup {
  readonly world: HarborWorld;
  readonly simulator: HarborSimulator;
  readonly running: RunningLoop;
  /** Requests of one more poll, by operation. */
  cost(): Promise<Record<string, number>>;
}

/** A simulated Harbor and a loop that reads it; both end with the test. */
export async function setupHarbor(
  estate: Estate | number,
  options: {
    readonly registry?: Readonly<Record<string, unknown>>;
    readonly simulator?: Omit<HarborSimulatorOptions, 'world'>;
    change?(world: HarborWorld): void;
  } = {},
): Promise<HarborSetup> {
  const whole =
    typeof estate === 'number' ? createEstate({ seed: estate, repositories: estate, now }) : estate;
  const world = createHarborWorld(whole, now);
  options.change?.(world);
  const simulator = await startHarborSimulator({ world, ...options.simulator });
  open.push(simulator.close);
  const running = await runLoop(harbor, {
    endpoint: simulator.url,
    auth: robot,
    http: { timeout: '30s', retries: 1 },
    ...options.registry,
  });
  open.push(() => running.stop());
  return {
    world,
    simulator,
    running,
    async cost() {
      simulator.requests.clear();
      await running.poll();
      return Object.fromEntries([...simulator.requests].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    },
  };
}

/** Repositories that are written down, for tests that say what each number is made of. */
export function estateOf(repositories: Readonly<Record<string, readonly Partial<EstateImage>[]>>): Estate {
  const toRepository = (name: string, images: readonly Partial<EstateImage>[]): EstateRepository => ({
    name,
    createdAt: now - 1000,
    pulls: 0,
    images: new Map(
      images.map((image, number) => {
        const digest = image.digest ?? digestNumber(number + 1);
        return [
          digest,
          {
            kind: 'image',
            tags: [],
            sizeBytes: 100,
            pushedAt: now - 100 + number,
            scan: { status: 'none' },
            archived: false,
            inUse: 0,
            ...image,
            digest,
          },
        ];
      }),
    ),
  });
  return {
    repositories: new Map(
      Object.entries(repositories).map(([name, images]) => [name, toRepository(name, images)]),
    ),
    step: () => 'nothing',
  };
}

export const digestNumber = (number: number): string => `sha256:${String(number).padStart(64, '0')}`;
