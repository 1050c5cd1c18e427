import type { CycleResult } from '../fold.ts';
import type { PackedTotals, RegistrySnapshot } from '../model.ts';
import type { SavedCounters } from '../storage.ts';
import { unpackTotals } from '../totals.ts';
import { createYielder } from '../yielding.ts';
import type { Pushes } from './pushes.ts';

/**
 * Pushes that a poll finds and no event told of. Only what is certain counts: the repository has told of a push before,
 * a newer image is there than at the last poll, and no event of the repository came since that poll, nor for a quarter
 * of an hour after this one.
 */
export interface MissedEvents {
  /** Pushes that no event told of; undefined where no event has told of any push yet. */
  count(): number | undefined;
  /**
   * A poll ended that listed everything.
   * @param now Unix seconds
   */
  polled(
    previous: RegistrySnapshot | undefined,
    complete: CycleResult['complete'],
    now: number,
  ): Promise<void>;
  saved(): Pick<SavedCounters, 'missedEvents'>;
  restore(saved: SavedCounters): void;
}

/** Events may come late: CloudTrail's some ten minutes, a webhook after its retries. */
const lateSeconds = 15 * 60;

/** When anything was pushed last, where it is later than it was; undefined where it is not, or nobody knows. */
function isNewer(now: PackedTotals, before: PackedTotals): boolean {
  if (now === before) return false;
  const [last, then] = [unpackTotals(now).lastPushAt, unpackTotals(before).lastPushAt];
  return last !== undefined && then !== undefined && last > then;
}

export function createMissedEvents(pushes: Pick<Pushes, 'counts'>): MissedEvents {
  let missed = 0;
  /** How many pushes of each repository events had told of at the last poll; undefined before the first. */
  let told: ReadonlyMap<string, number> | undefined;
  /** Repositories with a push that no event has told of yet: since when, and how many were told of. */
  const waiting = new Map<string, { readonly since: number; readonly told: number }>();
  const toldOf = (name: string): number => pushes.counts().get(name)?.pushes ?? 0;
  const speaks = (): boolean =>
    [...pushes.counts()].some(([name, { pushes: count }]) => name !== '' && count > 0);

  function judge(now: number): void {
    for (const [name, { since, told: before }] of waiting) {
      if (toldOf(name) > before) waiting.delete(name);
      else if (now - since >= lateSeconds) {
        waiting.delete(name);
        missed += 1;
      }
    }
  }

  return {
    count: () => (speaks() ? missed : undefined),
    async polled(previous, complete, now) {
      const pause = createYielder();
      judge(now);
      for (const [name, before] of told ?? []) {
        await pause();
        const [totals, last] = [complete.get(name), previous?.repositories.get(name)?.totals];
        if (before === 0 || waiting.has(name) || toldOf(name) > before) continue;
        if (totals !== undefined && last !== undefined && isNewer(totals, last))
          waiting.set(name, { since: now, told: before });
      }
      told = new Map([...pushes.counts()].map(([name, counts]) => [name, counts.pushes]));
    },
    saved: () => ({ missedEvents: missed }),
    restore(saved) {
      missed = saved.missedEvents ?? 0;
    },
  };
}
