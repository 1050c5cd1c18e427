import type { SelfMetrics } from '../self-metrics.ts';
import type { SavedCounters } from '../storage.ts';

/** Counts requests and events, in prom-client and in what is saved alike. */
export interface Counting {
  request(operation: string, code: string, seconds: number): void;
  event(source: string, outcome: string, count?: number): void;
  saved(): Pick<SavedCounters, 'requests' | 'events'>;
  /** Goes on from saved counts. */
  restore(saved: SavedCounters): void;
}

/** Counts by two words. */
type Counts = Map<string, number>;
type Triple = readonly [string, string, number];

function add(counts: Counts, words: readonly [string, string], count: number): void {
  const key = words.join('\t');
  counts.set(key, (counts.get(key) ?? 0) + count);
}

const triples = (counts: Counts): Triple[] =>
  [...counts].map(([key, count]) => {
    const [left = '', right = ''] = key.split('\t');
    return [left, right, count];
  });

export function createCounting(
  self: SelfMetrics,
  labels: { readonly registry: string; readonly provider: string },
): Counting {
  const requests: Counts = new Map();
  const events: Counts = new Map();
  const countRequests = (operation: string, code: string, count: number): void => {
    add(requests, [operation, code], count);
    self.apiRequests.inc({ ...labels, operation, code }, count);
  };
  const countEvents = (source: string, outcome: string, count: number): void => {
    add(events, [source, outcome], count);
    self.events.inc({ ...labels, source, outcome }, count);
  };
  return {
    request(operation, code, seconds) {
      countRequests(operation, code, 1);
      self.apiRequestDuration.observe({ ...labels, operation }, seconds);
    },
    event: (source, outcome, count = 1) => countEvents(source, outcome, count),
    saved: () => ({ requests: triples(requests), events: triples(events) }),
    restore(saved) {
      for (const triple of saved.requests) countRequests(...triple);
      for (const triple of saved.events) countEvents(...triple);
    },
  };
}
