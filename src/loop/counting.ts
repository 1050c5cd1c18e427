import type { SelfMetrics } from '../self-metrics.ts';
import type { SavedCounters } from '../storage.ts';
import { type RegistryState, restoreCounters } from './state.ts';

/** Counts of requests and events, in the state that is saved and in prom-client alike. */
export interface Counting {
  request(operation: string, code: string, seconds: number): void;
  event(source: string, outcome: string, count?: number): void;
  /** Goes on from saved counts. */
  restore(saved: SavedCounters): void;
}

export function createCounting(
  state: RegistryState,
  self: SelfMetrics,
  labels: { readonly registry: string; readonly provider: string },
): Counting {
  const add = (counts: Map<string, number>, key: readonly string[], count = 1): void => {
    const joined = key.join('\t');
    counts.set(joined, (counts.get(joined) ?? 0) + count);
  };
  return {
    request(operation, code, seconds) {
      add(state.requests, [operation, code]);
      self.apiRequests.inc({ ...labels, operation, code });
      self.apiRequestDuration.observe({ ...labels, operation }, seconds);
    },
    event(source, outcome, count = 1) {
      add(state.events, [source, outcome], count);
      self.events.inc({ ...labels, source, outcome }, count);
    },
    restore(saved) {
      restoreCounters(state, saved);
      for (const [operation, code, count] of saved.requests)
        self.apiRequests.inc({ ...labels, operation, code }, count);
      for (const [source, outcome, count] of saved.events)
        self.events.inc({ ...labels, source, outcome }, count);
    },
  };
}
