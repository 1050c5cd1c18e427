import { afterEach } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { type EcrSimulator, type EcrSimulatorOptions, startEcrSimulator } from '../simulators/ecr.ts';
import { useAwsFiles } from './aws.ts';
import { tempDir } from './programs.ts';
import { type RunningLoop, runLoop } from './running-loop.ts';
import { emptyEstate } from './uniform-estate.ts';

/** A simulated ECR and the exporter before it. */

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** Closed after the test. */
export const closing = (close: () => unknown): void => void open.push(close);

export interface Setup {
  readonly simulator: EcrSimulator;
  readonly running: RunningLoop;
  readonly registry: Readonly<Record<string, unknown>>;
}

export async function setup(
  options: Partial<EcrSimulatorOptions> = {},
  registry: Readonly<Record<string, unknown>> = {},
): Promise<Setup> {
  const folder = tempDir();
  closing(() => folder.remove());
  const simulator = await startEcrSimulator({ estate: emptyEstate(), ...options });
  closing(simulator.close);
  const { accessKeyId: id, secretAccessKey: secret } = simulator.key;
  useAwsFiles(folder.path, { default: { id, secret } });
  const settings = { endpoint: simulator.url, region: simulator.region, ...registry };
  const running = await runLoop(ecr, settings);
  closing(() => running.stop());
  return { simulator, running, registry: settings };
}

/** What one more poll asks for. */
export async function cost({ simulator, running }: Setup): Promise<Record<string, number>> {
  simulator.requests.clear();
  await running.poll();
  return Object.fromEntries([...simulator.requests].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
