import { createHash } from 'node:crypto';
import { type Kind, type ScanStatus, type Severity, severities } from '../../src/model.ts';
import { createRandom, repositoryName } from './random.ts';

/**
 * What a registry holds, whoever the vendor is: a simulator shows it in its vendor's words, and the truth that the
 * exporter has to expose is counted from it directly.
 */
export interface EstateImage {
  readonly digest: string;
  readonly kind: Kind;
  readonly tags: string[];
  /** Of an index: what the vendor says of the manifest itself; the truth is the sum of its platforms. */
  readonly sizeBytes: number;
  readonly pushedAt: number;
  pulledAt?: number;
  /** Of an image or a platform; `none` of an index, since its platforms are scanned. */
  scan: EstateScan;
  /** Of an index. */
  readonly platforms?: readonly string[];
  readonly architecture?: 'amd64' | 'arm64';
  /** Of a signature, an SBOM or an attestation: what it is about. */
  readonly subject?: string;
  archived: boolean;
  /** Running tasks and pods. */
  inUse: number;
}

export interface EstateScan {
  readonly status: ScanStatus;
  readonly at?: number;
  /** There when the status is `complete`. */
  readonly counts?: Readonly<Record<Severity, number>>;
  readonly fixable?: Readonly<Record<Severity, number>>;
}

export interface EstateRepository {
  readonly name: string;
  readonly createdAt: number;
  pulls: number;
  /** By digest, in the order of their pushes. */
  readonly images: Map<string, EstateImage>;
}

export interface Estate {
  readonly repositories: Map<string, EstateRepository>;
  /** Changes something as a day of work does; says what. */
  step(): string;
}

export interface EstateOptions {
  readonly seed: number;
  readonly repositories: number;
  /** Unix seconds of the newest push. */
  readonly now: number;
  /** Images per repository at most (default 9). */
  readonly images?: number;
  /** What the vendor's registry can hold; all default to true but `archived`. */
  readonly indexes?: boolean;
  readonly artifacts?: boolean;
  readonly untagged?: boolean;
  readonly archived?: boolean;
}

export const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

const statuses: readonly ScanStatus[] = [
  'complete',
  'complete',
  'complete',
  'pending',
  'failed',
  'unsupported',
  'none',
];

export function createEstate(options: EstateOptions): Estate {
  const { now, indexes = true, artifacts = true, untagged = true, archived = false } = options;
  const random = createRandom(options.seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const chance = (share: number): boolean => random() < share;
  const pick = <T>(all: readonly T[]): T => all[below(all.length)] as T;
  const repositories = new Map<string, EstateRepository>();
  let made = 0;

  const newDigest = (): string => {
    made += 1;
    return digestOf(`${options.seed} ${made}`);
  };
  const noScan: EstateScan = { status: 'none' };

  const scan = (at: number): EstateScan => {
    const status = pick(statuses);
    if (status !== 'complete') return { status };
    const counts = {
      CRITICAL: chance(0.4) ? below(5) : 0,
      HIGH: below(12),
      MEDIUM: below(40),
      LOW: below(60),
      NEGLIGIBLE: below(20),
      UNKNOWN: chance(0.2) ? below(3) : 0,
    };
    const fixable = Object.fromEntries(
      severities.map((severity) => [severity, below(counts[severity] + 1)]),
    ) as Record<Severity, number>;
    return { status, at, counts, fixable };
  };

  const put = (
    repository: EstateRepository,
    image: Partial<EstateImage> & Pick<EstateImage, 'kind' | 'pushedAt'>,
  ): EstateImage => {
    const whole: EstateImage = {
      digest: newDigest(),
      tags: [],
      sizeBytes: 1000 + below(500_000_000),
      scan: noScan,
      archived: false,
      inUse: 0,
      ...image,
    };
    for (const tag of whole.tags)
      for (const other of repository.images.values()) {
        const place = other.tags.indexOf(tag);
        if (place >= 0) other.tags.splice(place, 1);
      }
    repository.images.set(whole.digest, whole);
    return whole;
  };

  const artifact = (repository: EstateRepository, subject: EstateImage): void => {
    const kind = pick(['signature', 'sbom', 'attestation'] as const);
    put(repository, {
      kind,
      subject: subject.digest,
      pushedAt: Math.min(now, subject.pushedAt + 5),
      sizeBytes: 300 + below(9000),
    });
  };

  const push = (repository: EstateRepository, pushedAt: number): EstateImage => {
    const tags = chance(untagged ? 0.8 : 1) ? [`v1.${repository.images.size}.${made}`] : [];
    if (tags.length > 0 && chance(0.3)) tags.push('latest');
    const common = {
      pushedAt,
      ...(chance(0.7) && { pulledAt: Math.min(now, pushedAt + below(100_000)) }),
      archived: archived && chance(0.15),
      inUse: chance(0.3) ? below(6) : 0,
    };
    const isIndex = indexes && chance(0.35);
    const platform = (architecture: 'amd64' | 'arm64') =>
      put(repository, { ...common, inUse: 0, kind: 'platform', architecture, scan: scan(pushedAt + 60) });
    const shared = [...repository.images.values()].find(
      (image) => image.kind === 'platform' && image.archived === common.archived,
    );
    const subject = isIndex
      ? put(repository, {
          ...common,
          kind: 'index',
          tags,
          // Now and then an index is built anew from a platform that did not change.
          platforms: [
            shared && chance(0.2) ? shared.digest : platform('amd64').digest,
            platform('arm64').digest,
          ],
        })
      : put(repository, { ...common, kind: 'image', tags, architecture: 'amd64', scan: scan(pushedAt + 60) });
    if (artifacts && !common.archived) while (chance(0.35)) artifact(repository, subject);
    return subject;
  };

  const create = (number: number): EstateRepository => {
    const repository: EstateRepository = {
      name: repositoryName(number),
      createdAt: now - 200 * 86_400,
      pulls: below(100_000),
      images: new Map(),
    };
    repositories.set(repository.name, repository);
    return repository;
  };

  const most = options.images ?? 9;
  for (let number = 0; number < options.repositories; number += 1) {
    const repository = create(number);
    const count = number === 1 ? 0 : below(most + 1);
    for (let version = 0; version < count; version += 1)
      push(repository, now - (count - version) * (3600 + below(86_400)));
  }

  let stepped = 0;
  return {
    repositories,
    step() {
      stepped += 1;
      const repository = pick([...repositories.values()]);
      const pushed = [...repository.images.values()].filter(
        ({ kind }) => kind === 'image' || kind === 'index',
      );
      const scanned = [...repository.images.values()].filter(
        ({ kind }) => kind === 'image' || kind === 'platform',
      );
      const newest = pushed.reduce((latest, { pushedAt }) => Math.max(latest, pushedAt), now - 86_400);
      const choice = random();
      if (choice < 0.15 && pushed.length > 2) {
        const old = pushed[0] as EstateImage;
        remove(repository, old);
        return `deleted ${old.digest.slice(0, 19)} of ${repository.name}`;
      }
      if (choice < 0.4 && scanned.length > 0) {
        const image = scanned.at(-1) as EstateImage;
        image.scan = scan(newest + stepped);
        return `scanned ${image.digest.slice(0, 19)} of ${repository.name}`;
      }
      if (choice < 0.5 && pushed.length > 0) {
        const image = pick(pushed);
        image.pulledAt = newest + stepped;
        repository.pulls += 1 + below(20);
        return `pulled from ${repository.name}`;
      }
      const image = push(repository, newest + 1 + below(600));
      return `pushed ${repository.name}${image.tags[0] === undefined ? '' : `:${image.tags[0]}`}`;
    },
  };

  /** Deletes an image, its platforms that no other index lists, and what is attached to it. */
  function remove(repository: EstateRepository, image: EstateImage): void {
    const { images } = repository;
    images.delete(image.digest);
    for (const platform of image.platforms ?? [])
      if (![...images.values()].some((other) => other.platforms?.includes(platform))) images.delete(platform);
    for (const other of [...images.values()])
      if (other.subject !== undefined && !images.has(other.subject)) images.delete(other.digest);
  }
}
