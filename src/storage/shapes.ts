import { z } from 'zod';
import { type FailureReason, failureReasons } from '../errors.ts';
import { count, registryFacts, registryIdentity, repositoryTotals, time } from '../model.ts';

/**
 * The shapes of what is saved. A checksum says that a file is as it was written; only this says that it was written by
 * a version that means the same.
 */

/** One line of a snapshot after its first. */
export const repositoryLine = z.object({ totals: repositoryTotals, observedAt: time });

/** What a file says of itself, read before anything else of it. */
export const fileHeader = z.object({ version: z.number(), target: z.string() });

/** The first line of a snapshot. */
export const snapshotHeader = z.object({
  ...fileHeader.shape,
  identity: registryIdentity,
  facts: registryFacts,
  factsAt: time.optional(),
  repositoryCount: count.optional(),
  observedAt: time.optional(),
  cut: z.boolean().optional(),
});

const isReason = (reason: string): reason is FailureReason =>
  (failureReasons as readonly string[]).includes(reason);

/** Counts by a name of their own. */
const triples = z.array(z.tuple([z.string(), z.string(), count]).readonly()).readonly();

const counts = z.object({ pushes: count, failures: z.record(z.string(), count) });
const pushCounts = z.record(z.string(), counts);

/** The only line of a file of counters. */
export const savedCounters = z.object({
  polls: count,
  // A reason that a later version counted is none of this one.
  failures: z
    .record(z.string(), count)
    .transform((counts) => Object.fromEntries(Object.entries(counts).filter(([reason]) => isReason(reason)))),
  pushes: pushCounts,
  /** Of all repositories, those that are gone too; absent in files of before it was kept. */
  allPushes: counts.optional(),
  /** Of repositories that no listing has shown yet. */
  waiting: pushCounts.optional(),
  /** Number of the last line of the push journal that these counters contain. */
  journal: count.optional(),
  /** Pushes that no event told of. */
  missedEvents: count.optional(),
  requests: triples,
  events: triples,
});

/** Counters that go on after a restart: polls and their failures, push events by repository, requests, events. */
export type SavedCounters = z.infer<typeof savedCounters>;

/** One line of the memory's log after its first: a key, when it was stored (Unix seconds), and what it is. */
export const memoryLine = z.tuple([z.string(), z.number(), z.unknown()]);
export type Remembered = z.infer<typeof memoryLine>;
