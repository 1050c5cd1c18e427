import type { PackedUse, PlacedContainers, SourceUse } from '../model.ts';
import { createYielder } from '../yielding.ts';
import type { JoinedRegistry, RegistryUse } from './feed.ts';
import { repositoryOf } from './reference.ts';
import { type ImageUse, placeKey, type Tally } from './tally.ts';

/** Places of a repository that are told apart; what runs elsewhere is counted together. */
const placesAtMost = 20;

/** The places of some images, the most containers first. */
function placesOf(images: Iterable<ImageUse>): PlacedContainers[] {
  const sums = new Map<string, PlacedContainers>();
  for (const { places } of images)
    for (const [place, containers] of places) {
      const key = placeKey(place);
      const before = sums.get(key)?.containers ?? 0;
      sums.set(key, { ...place, containers: before + containers });
    }
  const sorted = [...sums.values()].sort(
    (a, b) => b.containers - a.containers || compare(placeKey(a), placeKey(b)),
  );
  if (sorted.length <= placesAtMost) return sorted;
  const rest = sorted.slice(placesAtMost).reduce((sum, { containers }) => sum + containers, 0);
  return [...sorted.slice(0, placesAtMost), { cluster: '', namespace: '', workload: '', containers: rest }];
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

type Found = Map<string, Map<string, Map<string, ImageUse>>>;

/** What runs of a registry, by repository, source and digest. */
function find(registry: JoinedRegistry, tallies: ReadonlyMap<string, Tally>): Found {
  const rules = [...registry.rules()].sort((a, b) => b.from.length - a.from.length);
  const tallied: Found = new Map();
  for (const [source, { images }] of tallies)
    for (const [name, digests] of images) {
      const repository = rules.map((rule) => repositoryOf(rule, name)).find((named) => named !== undefined);
      if (repository === undefined || !registry.wants(repository) || !registry.lists(repository)) continue;
      const sources = tallied.get(repository) ?? new Map<string, Map<string, ImageUse>>();
      tallied.set(repository, sources);
      const images = sources.get(source) ?? new Map<string, ImageUse>();
      sources.set(source, images);
      for (const [digest, use] of digests) images.set(digest, merged(images.get(digest), use));
    }
  return tallied;
}

function sumOf<K>(left: ReadonlyMap<K, number>, right: ReadonlyMap<K, number>): ReadonlyMap<K, number> {
  const sum = new Map(left);
  for (const [key, count] of right) sum.set(key, (sum.get(key) ?? 0) + count);
  return sum;
}

/** Two names may lead to one repository, such as a registry and its mirror. */
const merged = (before: ImageUse | undefined, use: ImageUse): ImageUse =>
  before
    ? {
        containers: before.containers + use.containers,
        latest: before.latest + use.latest,
        places: sumOf(before.places, use.places),
      }
    : use;

/** How many images there are, those counted twice that two sources tell of. */
const imagesAtMostIn = (tallies: Found): number =>
  [...tallies.values()].flatMap((sources) => [...sources.values()]).reduce((sum, { size }) => sum + size, 0);

/** The images that stay when there are more than are exported: those of the most containers. */
function keptDigests(
  tallies: Found,
  maxImages: number,
): { readonly has: (key: string) => boolean; readonly dropped: number } {
  if (imagesAtMostIn(tallies) <= maxImages) return { has: () => true, dropped: 0 };
  const sums = new Map<string, number>();
  for (const [repository, sources] of tallies)
    for (const digests of sources.values())
      for (const [digest, { containers }] of digests) {
        const key = `${repository}@${digest}`;
        sums.set(key, (sums.get(key) ?? 0) + containers);
      }
  if (sums.size <= maxImages) return { has: () => true, dropped: 0 };
  const sorted = [...sums].sort(([a, left], [b, right]) => right - left || compare(a, b));
  const kept = new Set(sorted.slice(0, maxImages).map(([key]) => key));
  return { has: (key) => kept.has(key), dropped: sums.size - maxImages };
}

/**
 * What runs of one registry.
 * @param tallies what each source told, by its name
 * @param maxImages so many images are kept, those of the most containers
 */
export function joinRegistry(
  registry: JoinedRegistry,
  tallies: ReadonlyMap<string, Tally>,
  maxImages: number,
): RegistryUse {
  const tallied = find(registry, tallies);
  const { has, dropped } = keptDigests(tallied, maxImages);
  const repositories = new Map<string, { packed: PackedUse; digests: ReadonlySet<string> }>();
  for (const [repository, sources] of tallied) {
    const uses = [...sources].map(([source, digests]): SourceUse => {
      const kept = [...digests].filter(([digest]) => has(`${repository}@${digest}`));
      kept.sort(([a], [b]) => compare(a, b));
      return {
        source,
        images: kept.map(([digest, { containers, latest }]) => ({ digest, containers, latest })),
        places: placesOf(digests.values()),
      };
    });
    uses.sort((a, b) => compare(a.source, b.source));
    repositories.set(repository, {
      packed: JSON.stringify(uses) as PackedUse,
      digests: new Set(uses.flatMap(({ images }) => images.map(({ digest }) => digest))),
    });
  }
  return { repositories, dropped };
}

/** The host of an image's name. */
const hostOf = (name: string): string => name.slice(0, name.indexOf('/'));

/**
 * Different images of each host that no registry lists; the hosts with the most first, the others together under `''`. It
 * gives way to others.
 */
export async function unmatchedHosts(
  registries: readonly JoinedRegistry[],
  tallies: ReadonlyMap<string, Tally>,
  hostsAtMost: number,
): Promise<ReadonlyMap<string, number>> {
  const pause = createYielder();
  const all = registries.map((registry) => ({
    registry,
    rules: registry.rules(),
    isListed: registry.listing() !== undefined,
  }));
  // Which images are its own is not known before its first poll.
  if (all.some(({ rules, isListed }) => rules.length === 0 && !isListed)) return new Map();
  const isListed = (name: string): boolean =>
    all.some(({ registry, rules, isListed: isKnown }) =>
      rules.some((rule) => {
        const repository = repositoryOf(rule, name);
        if (repository === undefined || !registry.wants(repository)) return false;
        return !isKnown || registry.lists(repository);
      }),
    );
  const byHost = new Map<string, Set<string>>();
  for (const { images } of tallies.values())
    for (const [name, digests] of images) {
      await pause();
      if (isListed(name)) continue;
      const host = hostOf(name);
      const seen = byHost.get(host) ?? new Set<string>();
      byHost.set(host, seen);
      for (const digest of digests.keys()) seen.add(`${name}@${digest}`);
    }
  const sorted = [...byHost]
    .map(([host, { size }]) => [host, size] as const)
    .sort((a, b) => b[1] - a[1] || compare(a[0], b[0]));
  const rest = sorted.slice(hostsAtMost).reduce((sum, [, size]) => sum + size, 0);
  return new Map([...sorted.slice(0, hostsAtMost), ...(rest > 0 ? [['', rest] as const] : [])]);
}
