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

/** Whether there may be more than the cycle could read. */
const isPartial = ({ cut, failed, failedGroups }: CycleResult): boolean =>
  cut !== undefined || failed.size > 0 || failedGroups.size > 0;

/** Whether a repository that had something has nothing now. */
const becameEmpty = (before: PackedTotals, now: PackedTotals): boolean =>
  now !== before && isEmpty(now) && !isEmpty(before);

/** Merges what a cycle learned into the last good snapshot. The previous snapshot is left as it was. */
export async function commit(input: CommitInput): Promise<CommitOutput> {
  const { previous, result, empty, scoped } = input;
  const early = commitNothing(input);
  if (early) return early;
  const isWhole = !scoped && result.cut === undefined;
  if (isWhole) empty.registry = false;

  const doubted: string[] = [];
  const repositories = await mergeRepositories(input, doubted);
  const heldBack = isWhole ? holdEmptyGroups(input, repositories, doubted) : 0;
  const snapshot =
    scoped && previous ? withLook(input, previous, repositories) : afterPoll(input, repositories, heldBack);
  return { snapshot, doubted };
}

/** Of a poll that showed no repository at all: doubted the first time. */
function commitNothing({
  previous,
  result,
  empty,
  now,
  scoped,
  listsRepositories,
}: CommitInput): CommitOutput | undefined {
  const { complete, gone, emptyGroups, identity, facts } = result;
  // A definite "not found" is no empty listing: it is believed at once.
  if (!listsRepositories || scoped || complete.size + gone.size > 0 || isPartial(result)) return undefined;
  // A registry of which nothing is known yet: so does one look whose credentials may list nothing.
  if (!previous) {
    const { projects: _, ...others } = facts;
    const snapshot = { identity, facts: others, factsAt: now, repositories: new Map(), observedAt: now };
    return { snapshot, doubted: [], emptyAtFirst: true };
  }
  if (previous.repositories.size === 0 || empty.registry) return undefined;
  empty.registry = true;
  for (const prefix of emptyGroups) empty.groups.add(prefix);
  return { snapshot: { ...previous, observedAt: now }, doubted: ['the list of repositories'] };
}

/** The repositories after the cycle, without those below prefixes that listed none. */
async function mergeRepositories(
  input: CommitInput,
  doubted: string[],
): Promise<Map<string, RepositoryEntry>> {
  const { previous, result, empty, now, scoped } = input;
  const { complete, failed, gone, cut } = result;
  const pause = createYielder();
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
  return repositories;
}

/**
 * Keeps what lies below prefixes whose listings were suddenly empty, for one poll.
 * @returns how many repositories
 */
function holdEmptyGroups(
  { previous, result, empty }: CommitInput,
  repositories: Map<string, RepositoryEntry>,
  doubted: string[],
): number {
  const { emptyGroups, gone } = result;
  let held = 0;
  for (const prefix of emptyGroups) {
    if (empty.groups.delete(prefix)) continue;
    for (const [name, before] of previous?.repositories ?? []) {
      if (!name.startsWith(prefix) || gone.has(name) || repositories.has(name)) continue;
      repositories.set(name, before);
      empty.groups.add(prefix);
      held += 1;
    }
    if (empty.groups.has(prefix)) doubted.push(`everything below ${JSON.stringify(prefix)}`);
  }
  for (const prefix of empty.groups) if (!emptyGroups.has(prefix)) empty.groups.delete(prefix);
  return held;
}

/** The snapshot after a look at some repositories: nothing else changes. */
function withLook(
  { result: { complete, gone } }: CommitInput,
  previous: RegistrySnapshot,
  repositories: RegistrySnapshot['repositories'],
): RegistrySnapshot {
  const wasThere = (name: string) => previous.repositories.has(name);
  const added = [...complete.keys()].filter((name) => !wasThere(name)).length;
  const removed = [...gone].filter(wasThere).length;
  const count = previous.repositoryCount;
  return {
    ...previous,
    repositories,
    repositoryCount: count === undefined ? undefined : count + added - removed,
  };
}

/** The snapshot after a poll of the whole registry. */
function afterPoll(
  input: CommitInput,
  repositories: RegistrySnapshot['repositories'],
  heldBack: number,
): RegistrySnapshot {
  const { previous, result, now, staleAfterSeconds, listsRepositories } = input;
  const { complete, failed, failedGroups, cut } = result;
  // Sums over the registry come from complete sets only: after a partial cycle the last complete ones are held.
  const heldSince = isPartial(result) ? (previous?.factsAt ?? previous?.observedAt) : undefined;
  const holds = heldSince !== undefined && now - heldSince <= staleAfterSeconds;
  // After the time was up, and below a prefix that failed, there may be repositories that nobody knows of yet.
  const listedAll = !cut && failedGroups.size === 0;
  const count = listedAll
    ? complete.size + failed.size + heldBack
    : holds
      ? previous?.repositoryCount
      : undefined;
  return {
    identity: { ...previous?.identity, ...result.identity },
    facts: { ...(holds ? previous?.facts : {}), ...result.facts },
    // When nothing is held any more, all that is known is of this cycle.
    factsAt: holds ? heldSince : now,
    repositoryCount: listsRepositories ? count : undefined,
    repositories,
    observedAt: cut ? previous?.observedAt : now,
    cut: cut && true,
  };
}
