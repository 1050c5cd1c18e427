import type { z } from 'zod';
import type { PemSettings } from '../http/tls.ts';
import type { HttpClient } from '../http.ts';
import type { Logger } from '../provider.ts';
import type { Counting } from './tally.ts';

/** What one reading of a source is lent. */
export interface ReadingContext {
  /** Ends at the reading's deadline, and when the exporter stops. */
  readonly signal: AbortSignal;
  /** Limited, timed, retried and counted; closed after the reading. */
  http(pem?: PemSettings): HttpClient;
  /** Begins to count. What was counted before a reading had to begin again is left behind. */
  count(): Counting;
  readonly log: Logger;
}

/** What a source answered. */
export interface ReadingOfSource {
  /** All that run. A source that breaks off throws, so that a part never passes for the whole. */
  readonly counted: Counting;
  /** When it was so, Unix seconds; the moment of the reading where the source does not say. */
  readonly at?: number | undefined;
}

/** A place that tells which images run. */
export interface InUseSource {
  /** PEM file of certificates to trust, where the configuration names no other. */
  readonly caFile?: string | undefined;
  /**
   * Reads all that run.
   * @throws CollectError
   */
  read(context: ReadingContext): Promise<ReadingOfSource>;
}

/** A kind of source: one file in `sources/`, registered in `sources/index.ts`. */
export interface InUseSourceKind<Schema extends z.ZodObject = z.ZodObject> {
  /** Discriminator in the configuration, such as `prometheus`. */
  readonly type: string;
  readonly options: Schema;
  /** How old its answer may be where the configuration does not say, in milliseconds. */
  readonly staleAfterMs: number;
  open(options: z.output<Schema>): InUseSource;
}

/** Keeps the options' type inside the kind while the map forgets it. */
export const defineSource = <Schema extends z.ZodObject>(kind: InUseSourceKind<Schema>): InUseSourceKind =>
  kind as unknown as InUseSourceKind;
