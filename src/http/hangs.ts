import { CollectError } from '../errors.ts';

/** After so many requests of a kind in a row without an answer the others are not made. */
const inARow = 2;

/** Whether there was no answer in time, as against one that says so. */
export const isHang = (error: unknown): boolean =>
  error instanceof CollectError && error.reason === 'timeout' && error.status === undefined;

/**
 * Requests of one poll that had no answer, whichever client made them. What hangs for one repository, such as a store of
 * blobs that a firewall keeps away, hangs for all: waiting for each would take the poll, and with it what can be read.
 */
export interface Hangs {
  /**
   * @param kind a host and an operation
   * @throws CollectError `timeout` where requests of the kind hang
   */
  refuse(kind: string): void;
  /** A request was answered, well or not. */
  answered(kind: string): void;
  /** A request had no answer, after all its attempts. */
  hung(kind: string): void;
}

export function createHangs(): Hangs {
  const hung = new Map<string, number>();
  return {
    refuse(kind) {
      if ((hung.get(kind) ?? 0) < inARow) return;
      throw new CollectError(
        'timeout',
        `${kind}: not asked any more in this poll, since ${inARow} requests in a row had no answer`,
      );
    },
    answered: (kind) => void hung.delete(kind),
    hung: (kind) => void hung.set(kind, (hung.get(kind) ?? 0) + 1),
  };
}
