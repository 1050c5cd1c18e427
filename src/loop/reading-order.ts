import type { RegistrySnapshot } from '../model.ts';
import type { ReadingOrder } from '../provider.ts';

/** Remembers which repositories the polls came to, so that none is left out each time when polls run out of time. */
export interface ReadingOrders {
  /** The order of one poll of the whole registry. */
  begin(snapshot: RegistrySnapshot | undefined, startedAt: number): ReadingOrder;
  /** Called at its end, with whether it ran out of time. */
  end(cut: boolean): void;
  moveBack(seconds: number): void;
}

export function createReadingOrders(): ReadingOrders {
  let lastWasCut = false;
  let begun = new Map<string, number>();
  return {
    begin(snapshot, startedAt) {
      const before = begun;
      begun = new Map(before);
      const isOrdered = lastWasCut || snapshot?.cut;
      return {
        begins: (name) => void begun.set(name, startedAt),
        ...(isOrdered && {
          // What hangs was begun and never read: it must not be the first again and again.
          lastTried: (name) =>
            Math.max(before.get(name) ?? 0, snapshot?.repositories.get(name)?.observedAt ?? 0),
        }),
      };
    },
    end(cut) {
      lastWasCut = cut;
      if (!cut) begun = new Map();
    },
    moveBack(seconds) {
      for (const [name, at] of begun) begun.set(name, at - seconds);
    },
  };
}
