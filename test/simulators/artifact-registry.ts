import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { containerAnalysisMethods, type Occurrence, occurrencesOf } from './container-analysis.ts';
import type { Estate, EstateImage, EstateRepository } from './estate.ts';
import { type GoogleServer, type Method, rootOf, StatusError, startGoogleServer } from './google-wire.ts';

/**
 * Artifact Registry (https://cloud.google.com/artifact-registry/docs/reference/rpc/google.devtools.artifactregistry.v1)
 * and Container Analysis on one server, from the SDK's own description of their messages. It shows an estate whose
 * repositories `team/service` are packages `service` of the repository `team`.
 */
const root = rootOf(
  createRequire(import.meta.url)('@google-cloud/artifact-registry/build/protos/protos.json') as object,
);
const locationsRoot = rootOf(
  createRequire(import.meta.url)(
    createRequire(import.meta.url)
      .resolve('google-gax')
      .replace(/src\/index\.js$/, 'protos/locations.json'),
  ) as object,
);

/** Settings of a repository that the estate does not have; what is left out is Google's default. */
export interface RepositorySettings {
  readonly format?: string | number;
  readonly mode?: string | number;
  readonly immutableTags?: boolean;
  readonly cleanup?: 'policies' | 'dry run';
  readonly scanning?: string | number;
  readonly scanningReason?: string;
  readonly kmsKeyName?: string;
  readonly registryUri?: string;
}

export interface ArtifactRegistrySimulator extends GoogleServer {
  readonly project: string;
  readonly location: string;
  /** Permissions that callers lack. */
  readonly denied: Set<string>;
  /** Of repositories, by id; an id that the estate does not have is an empty repository. */
  readonly settings: Map<string, RepositorySettings>;
  /** What storage of a repository is billed. */
  billedBytes(id: string): number;
  /** Of each repository that there is. */
  ids(): string[];
}

export interface SimulatorOptions {
  readonly estate: Estate;
  readonly project?: string;
  /** The location that the estate is in; the others are empty. */
  readonly location?: string;
  readonly locations?: readonly string[];
  /** Locations that are listed and given to others only. */
  readonly foreignLocations?: readonly string[];
  /** Of an answer at most, whatever is asked for. */
  readonly pageSize?: number;
  readonly endlessPaging?: 'same' | 'cycle';
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly plain?: 'grpc' | 'rest';
  readonly quota?: { readonly burst: number; readonly perSecond: number };
  /** Locations whose occurrences cannot be reached. */
  readonly unreachable?: readonly string[];
  /** What scans left of the images, in place of what the estate says. */
  occurrences?(prefix: string): readonly Occurrence[];
  /** Whom a token belongs to; without it nobody is asked who they are. */
  principalOf?(token: string): string | undefined;
}

export const idOf = ({ name }: EstateRepository): string => name.slice(0, name.indexOf('/'));
const packageOf = ({ name }: EstateRepository): string => name.slice(name.indexOf('/') + 1);

const artifactTypes: Readonly<Record<string, string>> = {
  signature: 'application/vnd.dev.cosign.artifact.sig.v1+json',
  sbom: 'application/spdx+json',
  attestation: 'application/vnd.in-toto+json',
  chart: 'application/vnd.cncf.helm.config.v1+json',
  other: 'application/vnd.example.thing.v1+json',
};

const seconds = (time: number): object => ({ seconds: Math.floor(time), nanos: 123_000_000 });

export async function startArtifactRegistry(options: SimulatorOptions): Promise<ArtifactRegistrySimulator> {
  const { estate, project = 'tests', location = 'europe-west3', principalOf, endlessPaging } = options;
  const locations = options.locations ?? [location];
  const denied = new Set<string>();
  const settings = new Map<string, RepositorySettings>();
  const tokens = new Map<string, readonly [list: string, from: number]>();
  let pagesOfCycle = 0;

  const ids = (): string[] =>
    [...new Set([...[...estate.repositories.values()].map(idOf), ...settings.keys()])].sort();
  const packages = (id: string) => [...estate.repositories.values()].filter((one) => idOf(one) === id);
  const billedBytes = (id: string): number =>
    packages(id)
      .flatMap(({ images }) => [...images.values()])
      .reduce((total, { sizeBytes }) => total + Math.floor(sizeBytes / 2), 0);
  const parent = `projects/${project}/locations/${location}`;

  const permit = (permission: string, resource: string): void => {
    if (!denied.has(permission)) return;
    throw new StatusError(
      'PERMISSION_DENIED',
      `Permission '${permission}' denied on resource '${resource}' (or it may not exist).`,
      [
        {
          '@type': 'ErrorInfo',
          reason: 'IAM_PERMISSION_DENIED',
          domain: `${permission.split('.')[0]}.googleapis.com`,
          metadata: { permission, resource },
        },
      ],
    );
  };

  /** A part of a list, with an opaque token for the next one. */
  function page<T>(
    list: string,
    all: readonly T[],
    request: Record<string, unknown>,
    limits: { readonly usual: number; readonly most: number },
  ): { readonly rows: readonly T[]; readonly nextPageToken: string } {
    const { pageSize: asked, pageToken } = request as { pageSize: number; pageToken: string };
    if (asked < 0 || asked > limits.most)
      throw new StatusError(
        'INVALID_ARGUMENT',
        `page size must be between 0 and ${limits.most}, got ${asked}`,
      );
    const [forList, from] = pageToken === '' ? [list, 0] : (tokens.get(pageToken) ?? ['', 0]);
    if (forList !== list)
      throw new StatusError('INVALID_ARGUMENT', 'page_token is invalid or of another list');
    if (endlessPaging) {
      pagesOfCycle += 1;
      const again = endlessPaging === 'same' ? 0 : pagesOfCycle % 3;
      const nextPageToken = Buffer.from(`${again} ${list}`).toString('base64url');
      tokens.set(nextPageToken, [list, 0]);
      return { rows: all.slice(0, 1), nextPageToken };
    }
    const size = Math.min(asked || limits.usual, options.pageSize ?? limits.most);
    const rows = all.slice(from, from + size);
    if (from + size >= all.length) return { rows, nextPageToken: '' };
    const nextPageToken = randomUUID();
    tokens.set(nextPageToken, [list, from + size]);
    return { rows, nextPageToken };
  }

  function repositoryMessage(id: string): object {
    const own = settings.get(id) ?? {};
    const {
      format = 'DOCKER',
      mode = 'STANDARD_REPOSITORY',
      immutableTags,
      cleanup,
      scanning,
      scanningReason,
      kmsKeyName,
    } = own;
    return {
      name: `${parent}/repositories/${id}`,
      format,
      mode,
      sizeBytes: billedBytes(id),
      createTime: seconds(1_700_000_000),
      registryUri: own.registryUri ?? `${location}-docker.pkg.dev/${project}/${id}`,
      ...(immutableTags !== undefined && { dockerConfig: { immutableTags } }),
      ...(cleanup && {
        cleanupPolicies: { old: { id: 'old', action: 'DELETE', condition: { tagState: 'UNTAGGED' } } },
        cleanupPolicyDryRun: cleanup === 'dry run',
      }),
      // As recorded: docs/providers/artifact-registry.md, "Checked against".
      ...(scanning !== undefined && {
        vulnerabilityScanningConfig: {
          enablementState: scanning,
          lastEnableTime: seconds(1_700_000_000),
          ...(scanningReason !== undefined && { enablementStateReason: scanningReason }),
        },
      }),
      ...(kmsKeyName !== undefined && { kmsKeyName }),
    };
  }

  function imageMessage(repository: EstateRepository, image: EstateImage): object {
    const id = idOf(repository);
    const { digest, kind, tags, sizeBytes, pushedAt, platforms } = image;
    return {
      name: `${parent}/repositories/${id}/dockerImages/${encodeURIComponent(packageOf(repository))}@${digest}`,
      uri: `${location}-docker.pkg.dev/${project}/${repository.name}@${digest}`,
      tags,
      imageSizeBytes: sizeBytes,
      uploadTime: seconds(pushedAt),
      updateTime: seconds(pushedAt + 1),
      buildTime: seconds(pushedAt - 60),
      mediaType:
        kind === 'index'
          ? 'application/vnd.oci.image.index.v1+json'
          : kind === 'image'
            ? 'application/vnd.docker.distribution.manifest.v2+json'
            : 'application/vnd.oci.image.manifest.v1+json',
      artifactType: artifactTypes[kind] ?? '',
      ...(platforms && {
        imageManifests: platforms.map((platform) => {
          const architecture: string = repository.images.get(platform)?.architecture ?? 'amd64';
          return {
            architecture,
            os: architecture === 'unknown' ? 'unknown' : 'linux',
            digest: platform,
            mediaType: 'application/vnd.oci.image.manifest.v1+json',
          };
        }),
      }),
    };
  }

  const type = (name: string) => root.lookupType(`google.devtools.artifactregistry.v1.${name}`);
  const methods: Method[] = [
    {
      grpc: {
        path: '/google.cloud.location.Locations/ListLocations',
        request: locationsRoot.lookupType('google.cloud.location.ListLocationsRequest'),
        response: locationsRoot.lookupType('google.cloud.location.ListLocationsResponse'),
      },
      rest: { pattern: /^\/v1\/(projects\/[^/]+)\/locations$/, field: 'name' },
      operation: 'ListLocations',
      handle(request) {
        if (request['name'] !== `projects/${project}`)
          throw new StatusError(
            'PERMISSION_DENIED',
            `Permission denied on resource project ${request['name']}.`,
          );
        permit('artifactregistry.locations.list', String(request['name']));
        const all = locations.map((locationId) => ({
          name: `projects/${project}/locations/${locationId}`,
          locationId,
        }));
        const { rows, nextPageToken } = page('locations', all, request, { usual: 100, most: 1000 });
        return { locations: rows, nextPageToken };
      },
    },
    {
      grpc: {
        path: '/google.devtools.artifactregistry.v1.ArtifactRegistry/ListRepositories',
        request: type('ListRepositoriesRequest'),
        response: type('ListRepositoriesResponse'),
      },
      rest: { pattern: /^\/v1\/(projects\/[^/]+\/locations\/[^/]+)\/repositories$/, field: 'parent' },
      operation: 'ListRepositories',
      handle(request) {
        const [, ofProject, ofLocation = ''] =
          /^projects\/([^/]+)\/locations\/([^/]+)$/.exec(String(request['parent'])) ?? [];
        if (ofProject === undefined) throw new StatusError('INVALID_ARGUMENT', 'parent is invalid');
        if (ofProject !== project)
          throw new StatusError('PERMISSION_DENIED', `Permission denied on resource project ${ofProject}.`);
        if (!locations.includes(ofLocation))
          throw new StatusError(
            'NOT_FOUND',
            `Location ${ofLocation} is not found or access is unauthorized.`,
          );
        if (options.foreignLocations?.includes(ofLocation))
          throw new StatusError(
            'PERMISSION_DENIED',
            `Permission denied on 'locations/${ofLocation}' (or it may not exist).`,
            [
              {
                '@type': 'ErrorInfo',
                reason: 'LOCATION_POLICY_VIOLATED',
                domain: 'googleapis.com',
                metadata: {},
              },
            ],
          );
        permit('artifactregistry.repositories.list', String(request['parent']));
        const all = ofLocation === location ? ids().map(repositoryMessage) : [];
        const { rows, nextPageToken } = page(`repositories ${ofLocation}`, all, request, {
          usual: 100,
          most: 1000,
        });
        return { repositories: rows, nextPageToken };
      },
    },
    {
      grpc: {
        path: '/google.devtools.artifactregistry.v1.ArtifactRegistry/ListDockerImages',
        request: type('ListDockerImagesRequest'),
        response: type('ListDockerImagesResponse'),
      },
      rest: {
        pattern: /^\/v1\/(projects\/[^/]+\/locations\/[^/]+\/repositories\/[^/]+)\/dockerImages$/,
        field: 'parent',
      },
      operation: 'ListDockerImages',
      repositoryOf: (request) => String(request['parent']).split('/').at(-1),
      handle(request) {
        const name = String(request['parent']);
        const id = name.split('/').at(-1) ?? '';
        if (name !== `${parent}/repositories/${id}` || !ids().includes(id))
          throw new StatusError('NOT_FOUND', 'Requested entity was not found.');
        permit('artifactregistry.dockerimages.list', name);
        // By digest: packages of one repository are not listed one after the other.
        const all = packages(id)
          .flatMap((one) => [...one.images.values()].map((image) => [image.digest, one, image] as const))
          .sort(([a], [b]) => (a < b ? -1 : 1));
        const { rows, nextPageToken } = page(name, all, request, { usual: 100, most: 1000 });
        return { dockerImages: rows.map(([, one, image]) => imageMessage(one, image)), nextPageToken };
      },
    },
    ...containerAnalysisMethods({
      project,
      ...(options.unreachable && { unreachable: options.unreachable }),
      permit,
      page,
      occurrences: () =>
        options.occurrences?.(`https://${location}-docker.pkg.dev/${project}/`) ??
        [...estate.repositories.values()].flatMap((repository) =>
          occurrencesOf(repository, `https://${location}-docker.pkg.dev/${project}/`),
        ),
    }),
  ];

  const server = await startGoogleServer({
    methods,
    ...(options.tls && { tls: options.tls }),
    ...(options.plain && { plain: options.plain }),
    ...(options.quota && { quota: options.quota }),
    authorize(headers) {
      if (!principalOf) return;
      const [, token = ''] = /^Bearer (\S+)$/.exec(String(headers['authorization'] ?? '')) ?? [];
      if (principalOf(token) === undefined)
        throw new StatusError(
          'UNAUTHENTICATED',
          'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.',
        );
    },
  });
  return Object.assign(server, { project, location, denied, settings, billedBytes, ids });
}
