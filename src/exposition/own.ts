import { type PackedView, type RegistryView, registryMetrics } from '../metrics.ts';
import { isPlainName, keptName } from '../names.ts';
import { createChunk, type Joined, join, pack } from './chunk.ts';
import { createSampleWriter, labelText, type Refused, rowWriter } from './samples.ts';

/** The labels that all series of a registry begin with. */
export const labelsOf = ({ registry, provider }: RegistryView): string =>
  labelText(['registry', 'provider'], [registry, provider]);

/** The rows of a registry itself, rendered. */
export interface OwnRows {
  readonly rows: readonly (Joined | undefined)[];
  readonly series: number;
  readonly refused: Refused;
}

export function renderOwnRows(view: RegistryView, keepPlain: boolean): OwnRows {
  const labels = labelsOf(view);
  const writer = createSampleWriter();
  const rows = registryMetrics.map((row) => {
    const text = rowWriter(writer, row, row.keepsLowest ? 'lowest' : 'first')(view, labels);
    return text === '' ? undefined : createChunk(text, keepPlain);
  });
  return {
    rows: pack(rows).map((chunk) => chunk && join([chunk])),
    series: writer.series,
    refused: writer.refused,
  };
}

/**
 * Repositories whose name, once it is a label value, is that of another: only one of them can have series. Only names
 * that had to be altered can meet others, and hardly any has to be.
 */
export function collidingNames(repositories: ReadonlyMap<string, PackedView>): ReadonlySet<string> {
  const taken = new Set<string>();
  const colliding = new Set<string>();
  for (const name of repositories.keys()) {
    if (isPlainName(name)) continue;
    const value = keptName(name);
    if (taken.has(value) || repositories.has(value)) colliding.add(name);
    taken.add(value);
  }
  return colliding;
}
