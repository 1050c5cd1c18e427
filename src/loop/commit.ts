import type { CycleResult } from '../fold.ts';
import type { PackedTotals, RegistrySnapshot, RepositoryEntry } from '../model.ts';
import { unpackTotals } from '../totals.ts';
import { createYielder } from '../yielding.ts';

/**
 * Listings that were suddenly empty in the last cycle. A registry or repository that had something is believed to
 * have nothing only when two complete listings in a row say so: an empty answer is also what a broken backend or a
 * lost permission looks like.
 */
export interface EmptyListings {
  registry: boolean;
  readonly repositories: Set<string>;
  /** Prefixes of listings that hold many repositories. */
  readonly groups: Set<string>;
}

export interface CommitInput {
  readonly previous: RegistrySnapshot | undefined;
  readonly result: CycleResult;
  readonly empty: EmptyListings;
  /** Unix seconds. */
  readonly now: number;
  /** Sums that only a complete set gives are held no longer than this. */
  readonly staleAfterSeconds: number;
  /** Whether the cycle looked at some repositories only. */
  readonly scoped: boolean;
  /** False where nothing but facts of the registry is asked for: no repositories are then no number of them. */
  readonly listsRepositories: boolean;
}

export interface CommitOutput {
  readonly snapshot: RegistrySnapshot;
  /** What was seen but not believed yet, for the log. */
  readonly doubted: readonly string[];
  /** The first listing of all showed no repository: how many there are is unknown until the next one says so too. */
  readonly emptyAtFirst?: boolean;
}

/** Whether a repository has no images and no artifacts. */
export function isEmpty(packed: PackedTotals): boolean {
  const { tagged, untagged = 0, archived = 0, artifacts } = unpackTotals(packed);
  return tagged === 0 && untagged === 0 && archived === 0 && Object.keys(artifacts).length === 0;
}

/** Whether a repository that had something has nothing now. */
const becameEmpty = (before: PackedTotals, now: PackedTotals): boolean =>
  now !== before && isEmpty(now) && !isEmpty(before);

/** Merges what a cycle learned into the last good snapshot. The previous snapshot is left as it was. */
export async function commit(input: CommitInput): Promise<CommitOutput> {
  const { previous, result, empty, now, scoped, listsRepositories } = input;
  const { complete, failed, failedGroups, emptyGroups, gone } = result;
  const cut = result.cut !== undefined;
  const partial = cut || failed.size > 0 || failedGroups.size > 0;
  const pause = createYielder();
  const doubted: string[] = [];

  // A definite "not found" is no empty listing: it is believed at once.
  const nothing = listsRepositories && !scoped && complete.size + gone.size === 0 && !partial;
  const suddenlyNothing = nothing && (previous?.repositories.size ?? 0) > 0;
  if (suddenlyNothing && previous && !empty.registry) {
    empty.registry = true;
    for (const prefix of emptyGroups) empty.groups.add(prefix);
    return { snapshot: { ...previous, observedAt: now }, doubted: ['the list of repositories'] };
  }
  // A registry of which nothing is known yet: so does one look whose credentials may list nothing.
  if (nothing && !previous) {
    const { identity, facts } = result;
    const { projects: _, ...others } = facts;
    return {
      snapshot: { identity, facts: others, factsAt: now, repositories: new Map(), observedAt: now },
      doubted: [],
      emptyAtFirst: true,
    };
  }
  if (!scoped && !cut) empty.registry = false;

  // What was not looked at, or not before the time was up, stays as it was.
  const repositories = new Map<string, RepositoryEntry>(scoped || cut ? previous?.repositories : undefined);
  for (const name of gone) repositories.delete(name);
  for (const [name, totals] of complete) {
    const before = previous?.repositories.get(name);
    if (before && becameEmpty(before.totals, totals) && !empty.repositories.has(name)) {
      empty.repositories.add(name);
      repositories.set(name, before);
      doubted.push(`the images of ${JSON.stringify(name)}`);
    } else {
      empty.repositories.delete(name);
      repositories.set(name, { totals, observedAt: now });
    }
    await pause();
  }
  // A repository that could not be read keeps its last values, which age on their own clock.
  for (const name of failed.keys()) {
    const before = previous?.repositories.get(name);
    if (before) repositories.set(name, before);
  }
  for (const name of empty.repositories) if (!repositories.has(name)) empty.repositories.delete(name);
  let heldBack = 0;
  for (const prefix of emptyGroups) {
    if (scoped || cut || empty.groups.delete(prefix)) continue;
    for (const [name, before] of previous?.repositories ?? []) {
      if (!name.startsWith(prefix) || gone.has(name) || repositories.has(name)) continue;
      repositories.set(name, before);
      empty.groups.add(prefix);
      heldBack += 1;
    }
    if (empty.groups.has(prefix)) doubted.push(`everything below ${JSON.stringify(prefix)}`);
  }
  if (!scoped && !cut)
    for (const prefix of empty.groups) if (!emptyGroups.has(prefix)) empty.groups.delete(prefix);

  if (scoped && previous) {
    const count = previous.repositoryCount;
    const delta = [...complete.keys()].filter((name) => !previous.repositories.has(name)).length;
    const left = [...gone].filter((name) => previous.repositories.has(name)).length;
    return {
      snapshot: {
        ...previous,
        repositories,
        repositoryCount: count === undefined ? undefined : count + delta - left,
      },
      doubted,
    };
  }

  // Sums over the registry come from complete sets only: after a partial cycle the last complete ones are held.
  const heldSince = partial ? (previous?.factsAt ?? previous?.observedAt) : undefined;
  const holds = heldSince !== undefined && now - heldSince <= input.staleAfterSeconds;
  const held = holds ? previous?.facts : {};
  // When nothing is held any more, all that is known is of this cycle.
  const factsAt = holds ? heldSince : now;
  // After the time was up, and below a prefix that failed, there may be repositories that nobody knows of yet.
  const countOf = () => {
    if (!listsRepositories) return {};
    if (!cut && failedGroups.size === 0) return { repositoryCount: complete.size + failed.size + heldBack };
    const known = previous?.repositoryCount;
    return holds && known !== undefined ? { repositoryCount: known } : {};
  };
  return {
    snapshot: {
      identity: { ...previous?.identity, ...result.identity },
      facts: { ...held, ...result.facts },
      factsAt,
      ...countOf(),
      repositories,
      ...(!cut ? { observedAt: now } : { cut, observedAt: previous?.observedAt }),
    },
    doubted,
  };
}
