import { startEcrSimulator } from '../simulators/ecr.ts';
import { uniformEstate } from './uniform-estate.ts';

/**
 * A simulated ECR in a process of its own, so that what it costs is not the exporter's: forked with the options as JSON.
 * Says its address and key, and when asked, what it has seen.
 */
export interface ServerOptions {
  readonly repositories: number;
  readonly images: number;
  readonly latencyMs?: number;
  readonly perSecond?: number;
}

export interface Told {
  readonly url: string;
  readonly id: string;
  readonly secret: string;
}

export interface Seen {
  readonly requests: Readonly<Record<string, number>>;
  readonly most: number;
  readonly throttled: number;
}

const { repositories, images, ...options } = JSON.parse(process.argv[2] ?? '') as ServerOptions;
const simulator = await startEcrSimulator({ estate: uniformEstate(repositories, images), ...options });
const { accessKeyId: id, secretAccessKey: secret } = simulator.key;
process.send?.({ url: simulator.url, id, secret } satisfies Told);
process.on('message', () => {
  const seen: Seen = { requests: Object.fromEntries(simulator.requests), ...simulator.load };
  simulator.requests.clear();
  Object.assign(simulator.load, { most: 0, throttled: 0 });
  process.send?.(seen);
});
