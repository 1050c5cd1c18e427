import { createHash } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { artifactory } from '../../src/providers/artifactory.ts';
import {
  type ArtifactorySimulator,
  type ArtifactorySimulatorOptions,
  startArtifactorySimulator,
} from '../simulators/artifactory.ts';
import type { SimulatedKey } from '../simulators/artifactory-layout.ts';
import { createEstate, type Estate } from '../simulators/estate.ts';
import { type RunningLoop, runLoop } from './running-loop.ts';

export const now = 1_795_000_000;

export interface Platform {
  readonly estate: Estate;
  readonly simulator: ArtifactorySimulator;
  readonly running: RunningLoop;
}

/** A simulated platform and an exporter that polls it when the test says so; both end with the test. */
export async function platform(
  simulated: Partial<ArtifactorySimulatorOptions> & {
    readonly seed?: number;
    readonly repositories?: number;
  } = {},
  registry: Readonly<Record<string, unknown>> = {},
  storagePath?: string,
): Promise<Platform> {
  const { seed = 4, repositories = 6, ...options } = simulated;
  const estate = options.estate ?? createEstate({ seed, repositories, now });
  const simulator = await startArtifactorySimulator({ ...options, estate });
  onTestFinished(() => simulator.close());
  const running = await runLoop(
    artifactory,
    {
      endpoint: simulator.url,
      auth: { username: simulator.username, password: simulator.password },
      timeout: '2m',
      http: { timeout: '30s', retries: 1 },
      ...registry,
    },
    storagePath === undefined ? {} : { storagePath },
  );
  onTestFinished(() => running.stop());
  return { estate, simulator, running };
}

/** A platform without images of its own: the test puts there what it is about. */
export const emptyPlatform = (
  keys: readonly (Partial<SimulatedKey> & { readonly key: string })[],
  simulated: Partial<ArtifactorySimulatorOptions> = {},
  registry: Readonly<Record<string, unknown>> = {},
): Promise<Platform> =>
  platform({ ...simulated, estate: createEstate({ seed: 1, repositories: 0, now }) }, registry).then(
    (made) => {
      made.simulator.keys.splice(
        0,
        made.simulator.keys.length,
        ...keys.map((key) => ({
          type: 'LOCAL',
          packageType: 'Docker',
          xrayIndex: true,
          maxUniqueTags: 0,
          ...key,
        })),
      );
      return made;
    },
  );

export const sha256 = (content: string | Buffer): string =>
  createHash('sha256').update(content).digest('hex');

/** Puts a file there; its content only where it is a manifest. @returns its digest */
export function put(
  { simulator }: Platform,
  file: string,
  content: object | number,
  more: { readonly downloads?: number; readonly at?: number } = {},
): string {
  const [repo = '', ...rest] = file.split('/');
  const name = rest.pop() ?? '';
  const bytes = typeof content === 'number' ? undefined : Buffer.from(JSON.stringify(content));
  const time = new Date((more.at ?? now) * 1000).toISOString();
  const hash = sha256(bytes ?? file);
  const path = rest.join('/').replace('{digest}', `sha256:${hash}`).replace('{cached}', `sha256__${hash}`);
  simulator.extra.items.push({
    repo,
    path,
    name,
    size: bytes?.length ?? (content as number),
    sha256: hash,
    created: time,
    modified: time,
    ...(more.downloads !== undefined && { stats: { downloads: more.downloads, downloaded: time } }),
  });
  if (bytes) simulator.extra.contents.set(`${repo}/${path}/${name}`, bytes);
  return `sha256:${hash}`;
}

const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** A manifest of an image, or of something else by the type of its config or artifact. */
export const manifest = (
  name: string,
  more: {
    readonly layer?: number;
    readonly artifactType?: string;
    readonly config?: string;
    readonly subject?: string;
  } = {},
): object => ({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  ...(more.artifactType !== undefined && { artifactType: more.artifactType }),
  config: {
    mediaType: more.config ?? 'application/vnd.oci.image.config.v1+json',
    digest: `sha256:${sha256(`config of ${name}`)}`,
    size: 100,
  },
  layers: [{ mediaType: layerType, digest: `sha256:${sha256(name)}`, size: more.layer ?? 1000 }],
  ...(more.subject !== undefined && {
    subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: more.subject, size: 1 },
  }),
});

export const index = (...digests: string[]): object => ({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: digests.map((digest) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest,
    size: 500,
  })),
});
