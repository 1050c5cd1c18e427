import { afterEach } from 'vitest';
import { dockerHub } from '../../src/providers/docker-hub.ts';
import {
  type DockerHubOptions,
  type DockerHubSimulator,
  startDockerHubSimulator,
} from '../simulators/docker-hub.ts';
import { createEstate, type Estate, type EstateRepository } from '../simulators/estate.ts';
import { type RunningLoop, runLoop } from './running-loop.ts';

/** Docker Hub's own rate would be all that is waited for. */
const http = { timeout: '30s', retries: 1, requestsPerSecond: 10_000 };

export interface RunningHub {
  readonly simulator: DockerHubSimulator;
  readonly running: RunningLoop;
  /** Requests that one more poll makes. */
  cost(): Promise<Record<string, number>>;
  /** Lines of the log at the level of warnings and above. */
  warnings(): string[];
}

/** An estate of empty repositories, for tests that say themselves what is in them. */
export function emptyEstate(...names: readonly string[]): Estate {
  const estate = createEstate({ seed: 1, repositories: 0, now: 1_795_000_000 });
  for (const name of names) addRepository(estate, name);
  return estate;
}

export function addRepository(estate: Estate, name: string): EstateRepository {
  const repository = { name, createdAt: 1_700_000_000, pulls: 5, images: new Map() };
  estate.repositories.set(name, repository);
  return repository;
}

/** Starts simulators and loops that end with the test. */
export function hubs(): {
  start(
    options?: DockerHubOptions,
    registry?: Readonly<Record<string, unknown>>,
    storagePath?: string,
  ): Promise<RunningHub>;
} {
  const open: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });
  return {
    async start(options = {}, registry = {}, storagePath) {
      const simulator = await startDockerHubSimulator(options);
      open.push(simulator.close);
      const { settings, namespace, username, token } = simulator;
      const running = await runLoop(
        dockerHub,
        { ...settings, http, namespaces: [namespace], auth: { username, token }, ...registry },
        storagePath === undefined ? {} : { storagePath },
      );
      open.push(() => running.stop());
      return {
        simulator,
        running,
        async cost() {
          simulator.requests.clear();
          await running.poll();
          return Object.fromEntries([...simulator.requests].toSorted(([a], [b]) => (a < b ? -1 : 1)));
        },
        warnings: () =>
          running
            .log()
            .split('\n')
            .filter((line) => /level=(warn|error)/.test(line)),
      };
    },
  };
}
