import {
  attestationEntry,
  type Content,
  cosignSignature,
  image,
  index,
  layer,
  mediaTypes,
  notationSignature,
  sarif,
  sbom,
} from '../support/oci-image.ts';
import type { Store } from './oci-store.ts';
import { createRandom, repositoryName } from './random.ts';

export type Counts = Partial<Record<'CRITICAL' | 'HIGH' | 'MEDIUM' | 'LOW', number>>;

const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };

/** Fills a store, and goes on changing it. */
export interface Population {
  readonly repositories: readonly string[];
  /** A push of a new version, a deletion, a moved tag or a new report; says what it did. */
  step(): string;
}

/**
 * A registry as teams fill it: single and multi-platform images, shared base layers, signatures by Notation and
 * cosign, SBOMs, reports, a repository without any image.
 * @param now Unix seconds of the newest image
 * @param api whether the registry has the referrers API; where it has not, nothing is attached but by cosign's tags
 */
export function populate(
  store: Store,
  options: {
    readonly seed: number;
    readonly repositories: number;
    readonly tags?: number;
    readonly now: number;
    readonly api?: boolean;
  },
): Population {
  const random = createRandom(options.seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const pick = <T>(all: readonly T[]): T => all[below(all.length)] as T;
  const api = options.api ?? true;
  const bases = Array.from({ length: 4 }, (_, number) =>
    layer(`base-${options.seed}-${number}`, 2000 + below(20_000)),
  );
  const repositories = Array.from({ length: options.repositories }, (_, number) => repositoryName(number));
  const versions = new Map<string, number>();
  const newest = new Map<string, Content>();

  const build = (repository: string, created: number, platform = amd64): Content =>
    image({
      layers: [
        pick(bases),
        layer(`${repository}-${created}-${platform.architecture}-${random()}`, 500 + below(30_000)),
      ],
      created,
      platform,
      docker: random() < 0.2,
      env: random() < 0.05 ? ['PATH=/bin', 'API_TOKEN=0123456789abcdef'] : ['PATH=/bin'],
    });

  const push = (repository: string, created: number): string => {
    const version = (versions.get(repository) ?? 0) + 1;
    versions.set(repository, version);
    const tag = `v1.${version}.0`;
    const amd = build(repository, created);
    const multi = random() < 0.4;
    const arm = build(repository, created + 1, arm64);
    const entries = [
      { content: amd, platform: amd64 },
      { content: arm, platform: arm64 },
    ];
    const content = multi ? index(random() < 0.5 ? [...entries, attestationEntry(amd)] : entries) : amd;
    store.put(repository, content, tag);
    newest.set(repository, content);
    if (random() < 0.3) store.put(repository, content, 'latest');
    const hex = content.digest.replace(':', '-');
    if (random() < 0.4) store.put(repository, cosignSignature(content), `${hex}.sig`);
    else if (api && random() < 0.5) store.put(repository, notationSignature(content));
    if (api && random() < 0.5) store.put(repository, sbom(content));
    if (api && random() < 0.7) report(repository, created + 60);
    return tag;
  };

  const report = (repository: string, at: number): Counts | undefined => {
    const subject = newest.get(repository);
    if (!subject) return undefined;
    const counts: Counts = {
      CRITICAL: random() < 0.3 ? below(4) : 0,
      HIGH: below(10),
      MEDIUM: below(30),
      LOW: below(40),
    };
    store.put(repository, sarif(subject, counts, at));
    return counts;
  };

  let stepped = 0;
  let clock = options.now - 86_400 * 60;
  for (const [number, repository] of repositories.entries()) {
    const count = 1 + below(options.tags ?? 6);
    for (let tag = 0; tag < count; tag += 1) {
      clock += 60 + below(3600);
      push(repository, Math.min(clock, options.now));
    }
    // A repository whose tags were all deleted stays in the catalog of some registries.
    if (number === options.repositories - 1 && options.repositories > 3)
      for (const tag of [...(store.repositories.get(repository)?.tags.keys() ?? [])])
        store.deleteTag(repository, tag);
  }

  return {
    repositories,
    step() {
      const repository = pick(repositories);
      const tags = [...(store.repositories.get(repository)?.tags.keys() ?? [])].filter((tag) =>
        tag.startsWith('v'),
      );
      // No two of the same second: which of them is the newest would be anybody's guess.
      stepped = Math.max(stepped + 1, Math.floor(Date.now() / 1000));
      const now = stepped;
      const dice = random();
      if (dice < 0.15 && tags.length > 3) {
        const tag = tags[0] as string;
        store.deleteTag(repository, tag);
        return `deleted ${repository}:${tag}`;
      }
      if (dice < 0.4 && newest.has(repository)) {
        const counts = report(repository, now);
        return `reported ${counts?.CRITICAL ?? 0} critical findings on the newest image of ${repository}`;
      }
      return `pushed ${repository}:${push(repository, now)}`;
    },
  };
}

/** What the exporter has to say of a repository: computed from the store alone. */
export interface Truth {
  readonly tagged: number;
  readonly tags: number;
  readonly sizeBytes: number;
  readonly signedImages: number;
  readonly artifacts: Readonly<Record<string, number>>;
  /** Of the newest image, where a report is attached to it. */
  readonly findings?: Readonly<Record<string, number>>;
}

const isIndex = ({ mediaType }: Content): boolean =>
  mediaType === mediaTypes.index || mediaType === mediaTypes.dockerList;
const isAttestation = ({ bytes }: Content): boolean => bytes.includes('application/vnd.in-toto+json');
const kindOf = ({ artifactType = '' }: Content): string =>
  /notary|sig\.v1/.test(artifactType) ? 'signature' : /spdx/.test(artifactType) ? 'sbom' : 'attestation';

/** When an image was built; of an index its newest platform. */
function createdAt(content: Content): number {
  if (content.children.length > 0) return Math.max(...content.children.map(createdAt));
  const config = JSON.parse(content.blobs[0]?.bytes.toString() ?? '{}') as { created?: string };
  return config.created === undefined ? Number.NEGATIVE_INFINITY : Date.parse(config.created);
}

/** Counts of the newest report: the simulated scanner names each finding after its severity. */
function findingsOf(attached: readonly Content[]): Record<string, number> | undefined {
  const reports = attached
    .filter(({ artifactType }) => artifactType === 'application/sarif+json')
    .map((content) => {
      const { annotations } = JSON.parse(content.bytes.toString()) as { annotations: Record<string, string> };
      const at = Date.parse(annotations['org.opencontainers.image.created'] ?? '');
      return { at, text: content.blobs[1]?.bytes.toString() ?? '' };
    })
    .sort((a, b) => b.at - a.at);
  const [newest] = reports;
  if (!newest) return undefined;
  return Object.fromEntries(
    ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'NEGLIGIBLE', 'UNKNOWN'].map((severity) => [
      severity,
      newest.text.split(`"ruleId":"CVE-2026-${severity}-`).length - 1,
    ]),
  );
}

/** The truth about a repository of a registry that has the referrers API. */
export function truthOf(store: Store, repository: string): Truth {
  const stored = store.repositories.get(repository);
  const tags = [...(stored?.tags ?? [])].filter(([tag]) => !tag.startsWith('sha256-'));
  const images = new Map<string, Content>();
  for (const [, digest] of tags) images.set(digest, stored?.manifests.get(digest) as Content);
  const sized = new Map<string, Content>();
  const artifacts = new Map<string, string>();
  let signedImages = 0;
  for (const content of images.values()) {
    if (!isIndex(content)) sized.set(content.digest, content);
    for (const child of content.children) {
      if (isAttestation(child)) artifacts.set(child.digest, 'attestation');
      else {
        sized.set(child.digest, child);
        if (!images.has(child.digest)) artifacts.set(child.digest, 'platform');
      }
    }
    const cosign = stored?.tags.get(`${content.digest.replace(':', '-')}.sig`);
    const attached = store.referrers(repository, content.digest);
    for (const one of attached) artifacts.set(one.digest, kindOf(one));
    if (cosign || attached.some((one) => kindOf(one) === 'signature')) signedImages += 1;
  }
  for (const [tag, digest] of stored?.tags ?? [])
    if (tag.endsWith('.sig')) artifacts.set(digest, 'signature');
  const counts: Record<string, number> = {};
  for (const kind of artifacts.values()) counts[kind] = (counts[kind] ?? 0) + 1;
  const [newest] = [...images.values()].sort(
    (a, b) => createdAt(b) - createdAt(a) || (a.digest < b.digest ? -1 : 1),
  );
  const findings = newest && findingsOf(store.referrers(repository, newest.digest));
  return {
    ...(findings && { findings }),
    tagged: images.size,
    tags: tags.length,
    sizeBytes: [...sized.values()].reduce((sum, one) => sum + one.sizeBytes, 0),
    signedImages,
    artifacts: counts,
  };
}
