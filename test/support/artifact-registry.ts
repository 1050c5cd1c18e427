import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import {
  type ArtifactRegistrySimulator,
  idOf,
  type SimulatorOptions,
  startArtifactRegistry,
} from '../simulators/artifact-registry.ts';
import {
  createEstate,
  digestOf,
  type Estate,
  type EstateImage,
  type EstateRepository,
} from '../simulators/estate.ts';
import {
  contentFamilies,
  contentLines,
  imageFamilies,
  imageLines,
  line,
  lines,
  partsOf,
  repositoryTruth,
} from '../simulators/estate-truth.ts';
import { type GoogleIdentity, startGoogleIdentity } from '../simulators/google-identity.ts';

/** A simulated project with its token servers, and the configuration that reads it. */
export interface GoogleProject {
  readonly estate: Estate;
  readonly simulator: ArtifactRegistrySimulator;
  readonly identity: GoogleIdentity;
  /** Of the configuration: everything but credentials. */
  readonly reach: Readonly<Record<string, unknown>>;
  /** The same with the credentials file of a service account. */
  readonly registry: Readonly<Record<string, unknown>>;
  /** Writes a file that goes with the project. */
  file(name: string, content: unknown): string;
  close(): Promise<void>;
}

let certificate: Promise<{ readonly private: string; readonly cert: string }> | undefined;

export interface ProjectOptions extends Partial<Omit<SimulatorOptions, 'estate' | 'tls' | 'principalOf'>> {
  readonly seed?: number;
  readonly repositories?: number;
  readonly transport?: 'grpc' | 'rest';
  readonly estate?: Estate;
}

/** Starts everything, over TLS as Google has it. */
export async function startProject(options: ProjectOptions = {}): Promise<GoogleProject> {
  const { seed = 1, repositories = 5, transport, ...simulated } = options;
  const estate = options.estate ?? createEstate({ seed, repositories, now: 1_795_000_000 });
  // Made once: it takes longer than everything else.
  certificate ??= generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  });
  const { private: key, cert } = await certificate;
  const identity = await startGoogleIdentity();
  const simulator = await startArtifactRegistry({
    ...simulated,
    estate,
    ...(options.plain === undefined && { tls: { key, cert }, principalOf: identity.principalOf }),
  });
  const folder = mkdtempSync(join(tmpdir(), 'google-'));
  const file = (name: string, content: unknown): string => {
    const path = join(folder, name);
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };
  const reach = {
    projects: [simulator.project],
    locations: [simulator.location],
    endpoint: simulator.url,
    containerAnalysisEndpoint: simulator.url,
    tls: { caFile: file('ca.pem', cert) },
    ...(transport && { transport }),
  };
  return {
    estate,
    simulator,
    identity,
    reach,
    registry: { ...reach, credentialsFile: file('key.json', identity.key) },
    file,
    async close() {
      await simulator.close();
      await identity.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const truthFamilies = [
  ...contentFamilies.filter((family) => family !== 'repositories'),
  ...imageFamilies,
  'storage_bytes',
  'repository_findings',
  'repository_fixable_findings',
  'repository_vulnerable_images',
  'repository_image_scans',
  'repository_practice',
  'image_findings',
  'image_fixable_findings',
  'image_scanned_timestamp_seconds',
] as const;

/** What has to be exposed of a project, counted from what it holds. */
export function artifactRegistryTruth({ estate, simulator }: GoogleProject): string[] {
  const listed = [...estate.repositories.values()].filter(({ images }) => images.size > 0);
  const storage = simulator.ids().reduce((total, id) => total + simulator.billedBytes(id), 0);
  return [
    `storage_bytes{} ${storage}`,
    ...listed.flatMap((repository) => {
      const truth = repositoryTruth(repository);
      const labels = { repository: repository.name };
      const settings = simulator.settings.get(idOf(repository)) ?? {};
      const images = [...repository.images.values()];
      const anyScan = Object.values(truth.scans).some((count) => count > 0);
      return [
        ...contentLines(labels, truth),
        ...lines('repository_findings', labels, 'severity', truth.findings),
        ...lines('repository_fixable_findings', labels, 'severity', truth.fixable),
        ...lines('repository_vulnerable_images', labels, 'severity', truth.vulnerable),
        ...(anyScan ? lines('repository_image_scans', labels, 'status', truth.scans) : []),
        ...lines('repository_practice', labels, 'practice', {
          ...(settings.scanning !== undefined && {
            scan_on_push: Number(settings.scanning === 'SCANNING_ACTIVE'),
          }),
          immutable_tags: Number(settings.immutableTags === true),
          retention_policy: Number(settings.cleanup === 'policies'),
          customer_managed_key: Number(settings.kmsKeyName !== undefined),
          no_latest_tag: Number(!images.some(({ tags }) => tags.includes('latest'))),
        }),
        ...imageLines(labels, repository, truth, (own, image) => {
          const parts = partsOf(repository, image);
          const alone = new Map([...parts, image].map((one) => [one.digest, one]));
          const { findings, fixable } = repositoryTruth({ ...repository, images: alone });
          const scannedAt = Math.max(...parts.map(({ scan }) => scan.at ?? 0));
          return [
            ...lines('image_findings', own, 'severity', findings),
            ...lines('image_fixable_findings', own, 'severity', fixable),
            ...line('image_scanned_timestamp_seconds', own, scannedAt || undefined),
          ];
        }),
      ];
    }),
  ];
}

/** A digest that is easily told from others. */
export const digest = (name: string): string => digestOf(name);

/** An estate of the images given, by the names of their repositories. */
export function estateOf(
  repositories: Readonly<Record<string, readonly (Partial<EstateImage> & { readonly digest: string })[]>>,
): Estate {
  const all = Object.entries(repositories).map(([name, images]): [string, EstateRepository] => [
    name,
    {
      name,
      createdAt: 0,
      pulls: 0,
      images: new Map(
        images.map((image, at) => [
          image.digest,
          {
            kind: 'image',
            tags: [],
            sizeBytes: 100,
            pushedAt: 1_790_000_000 + at,
            scan: { status: 'none' },
            archived: false,
            inUse: 0,
            ...image,
          },
        ]),
      ),
    },
  ]);
  return { repositories: new Map(all), step: () => 'nothing' };
}
