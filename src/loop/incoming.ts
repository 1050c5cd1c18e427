import type { PushEvent, ReadEvents } from '../events/push-event.ts';
import type { Counting } from './counting.ts';
import { type EventIds, identityHash } from './event-ids.ts';
import type { JournalEntry, PushJournal } from './push-journal.ts';
import type { Pushes, PushIncrement } from './pushes.ts';

/** What became of a request's events. */
export interface Delivery {
  /** Resolves when the counts are on disk: only then may the request be answered. */
  readonly saved: Promise<void>;
  /** The answer did not arrive, so that the same will be sent again. */
  lost(): void;
}

/** Counts the events of one registry. */
export interface Incoming {
  /** @param source who sent them, such as `harbor` */
  receive(source: string, events: ReadEvents): Delivery;
  /** Counts again what the journal kept. */
  restore(entry: JournalEntry): void;
}

type Outcome = 'accepted' | 'ignored' | 'duplicate' | 'invalid';

const incrementOf = (event: PushEvent): PushIncrement | undefined => {
  if (event.type === 'pushed') return { pushes: 1, failures: {} };
  return event.type === 'failed' ? { pushes: 1, failures: { [event.reason]: 1 } } : undefined;
};

export function createIncoming(input: {
  readonly ids: EventIds;
  readonly pushes: Pick<Pushes, 'add'>;
  readonly counting: Pick<Counting, 'event'>;
  /** Absent without a storage path. */
  readonly journal: PushJournal | undefined;
  wants(repository: string): boolean;
  /** The source works: it told of something that is understood. */
  works(source: string): void;
  /** Looks at a repository again soon. */
  look(repository: string): void;
}): Incoming {
  const { ids, pushes, counting, journal, wants, works, look } = input;

  // Some vendors count for the registry as a whole: the repository is empty.
  const isWanted = (repository: string): boolean => repository === '' || wants(repository);
  const lookAt = (repository: string): void => {
    if (repository !== '') look(repository);
  };

  function take(source: string, event: PushEvent | undefined, contents: string[]): Outcome {
    if (!event) return 'invalid';
    // Neither pulls nor what nobody wants is remembered: they are many, and would push the pushes out.
    if (event.type === 'other' || !isWanted(event.repository)) return 'ignored';
    const hash = identityHash(event.origin ?? source, event.id);
    if (event.byContent) contents.push(hash);
    if ((event.byContent ? ids.seeContent(hash) : ids.see(hash)) === 'repeated') return 'duplicate';
    journal?.identity(hash);
    const increment = incrementOf(event);
    if (increment) {
      pushes.add(event.repository, increment);
      journal?.push(event.repository, increment);
    }
    lookAt(event.repository);
    return 'accepted';
  }

  return {
    receive(source, events) {
      const contents: string[] = [];
      const outcomes = new Map<Outcome, number>();
      for (const event of events) {
        const outcome = take(source, event, contents);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
      for (const [outcome, count] of outcomes) {
        counting.event(source, outcome, count);
        journal?.event(source, outcome, count);
      }
      if (outcomes.size > Number(outcomes.has('invalid'))) works(source);
      const counted = outcomes.has('accepted') || outcomes.has('duplicate');
      return {
        saved: (counted && journal?.flush()) || Promise.resolve(),
        lost() {
          for (const hash of contents) ids.lost(hash);
        },
      };
    },
    restore(entry) {
      for (const hash of entry.ids) ids.restore(hash);
      for (const [repository, increment] of entry.pushes) pushes.add(repository, increment);
      for (const [source, outcome, count] of entry.events) counting.event(source, outcome, count);
    },
  };
}
