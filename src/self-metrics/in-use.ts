import { Gauge, type Registry } from 'prom-client';
import { processMetrics } from '../metrics.ts';

/** How a source of what runs goes. */
export interface SourceStatus {
  readonly source: string;
  readonly up: boolean | undefined;
  /** When its last answer was so, Unix seconds. */
  readonly answeredAt: number | undefined;
  readonly staleAfterSeconds: number;
  /** Of an answer that counts. */
  readonly containers: { readonly identified: number; readonly unidentified: number } | undefined;
}

/**
 * Tells how the sources of what runs go.
 * @param unmatched images that no registry lists, by host
 */
export type TellInUse = (sources: readonly SourceStatus[], unmatched: ReadonlyMap<string, number>) => void;

/** Registers the rows of the sources of what runs. */
export function createInUseGauges(registers: Registry[]): TellInUse {
  const gauge = (row: { readonly name: string; readonly help: string; readonly labels: readonly string[] }) =>
    new Gauge({ ...row, labelNames: row.labels, registers });
  const up = gauge(processMetrics.inUseSourceUp);
  const answeredAt = gauge(processMetrics.inUseSourceTimestamp);
  const staleAfter = gauge(processMetrics.inUseSourceStaleAfter);
  const containers = gauge(processMetrics.inUseSourceContainers);
  const unmatchedImages = gauge(processMetrics.inUseUnmatched);

  function set(status: SourceStatus): void {
    const { source } = status;
    staleAfter.set({ source }, status.staleAfterSeconds);
    if (status.up !== undefined) up.set({ source }, Number(status.up));
    if (status.answeredAt !== undefined) answeredAt.set({ source }, status.answeredAt);
    for (const [image, count] of Object.entries(status.containers ?? {}))
      containers.set({ source, image }, count);
  }

  return (sources, unmatched) => {
    for (const each of [up, answeredAt, staleAfter, containers, unmatchedImages]) each.reset();
    for (const status of sources) set(status);
    for (const [host, images] of unmatched) unmatchedImages.set({ host }, images);
  };
}
