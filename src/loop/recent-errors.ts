import { type FailureReason, reasonOf } from '../errors.ts';
import { keptMessage } from '../names.ts';

/** A failure as people read it on the status page. */
export interface RecordedError {
  /** Unix seconds. */
  readonly at: number;
  readonly reason: FailureReason;
  readonly message: string;
}

/** The last failures of a registry, for the status page. */
export interface RecentErrors {
  /** @param message replaces the error's own */
  add(error: unknown, message?: string): void;
  /** The newest first. */
  all(): readonly RecordedError[];
  moveBack(seconds: number): void;
}

const keptAtMost = 5;

/** What an error says, as it is kept. */
export const messageOf = (error: unknown): string =>
  keptMessage(error instanceof Error ? error.message : String(error));

/** The same as if it had happened so many seconds earlier. */
export const earlier = (error: RecordedError, seconds: number): RecordedError => ({
  ...error,
  at: error.at - seconds,
});

export function createRecentErrors(): RecentErrors {
  let errors: readonly RecordedError[] = [];
  return {
    add(error, message) {
      const recorded: RecordedError = {
        at: Date.now() / 1000,
        reason: reasonOf(error),
        message: message === undefined ? messageOf(error) : keptMessage(message),
      };
      errors = [recorded, ...errors].slice(0, keptAtMost);
    },
    all: () => errors,
    moveBack(seconds) {
      errors = errors.map((error) => earlier(error, seconds));
    },
  };
}
