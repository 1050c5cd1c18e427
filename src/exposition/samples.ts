import { escapeLabel } from './text.ts';

/** Why a series is left out while it is rendered. */
export const refusals = ['invalid_value', 'duplicate'] as const;
export type Refusal = (typeof refusals)[number];

/** Series that were left out, by reason: how many, and the first of them as an example. */
export type Refused = ReadonlyMap<Refusal, { readonly count: number; readonly example: string }>;

/** Adds up what several parts left out. */
export function mergeRefused(all: Iterable<Refused>): Refused {
  const sum = new Map<Refusal, { readonly count: number; readonly example: string }>();
  for (const refused of all)
    for (const [reason, { count, example }] of refused) {
      const before = sum.get(reason);
      sum.set(reason, { count: count + (before?.count ?? 0), example: before?.example ?? example });
    }
  return sum;
}

/** Labels as they stand between the braces, escaped. */
export function labelText(names: readonly string[], values: readonly string[]): string {
  let text = '';
  for (const [index, name] of names.entries())
    text += `${index === 0 ? '' : ','}${name}="${escapeLabel(values[index] ?? '')}"`;
  return text;
}

/**
 * Writes samples, and refuses what would make the whole body unreadable for Prometheus, or two truths of one series: a
 * value that is no finite number, and a series that is there already. One odd sample must not hide all the others.
 */
export interface SampleWriter {
  /**
   * Adds a sample; an undefined value is none.
   * @param lowest of two samples of one series keeps the lower value; else the first is kept
   */
  add(name: string, labels: string, value: number | undefined, lowest?: boolean): void;
  /** The samples since the last call, as text. A series is refused as a duplicate among these. */
  take(): string;
  /** Counts a series as left out. */
  refuse(reason: Refusal, series: string): void;
  /** Series written so far. */
  readonly series: number;
  readonly refused: Refused;
}

export function createSampleWriter(): SampleWriter {
  const refused = new Map<Refusal, { count: number; example: string }>();
  const kept = new Map<string, number>();
  let series = 0;

  function refuse(reason: Refusal, example: string): void {
    const before = refused.get(reason);
    if (before) before.count += 1;
    else refused.set(reason, { count: 1, example });
  }

  return {
    refuse,
    refused,
    get series() {
      return series;
    },
    add(name, labels, value, lowest = false) {
      if (value === undefined) return;
      const sample = labels === '' ? name : `${name}{${labels}}`;
      // Totals are read back from JSON, where what was no number is null.
      if (!Number.isFinite(value)) return refuse('invalid_value', sample);
      const before = kept.get(sample);
      if (before !== undefined) refuse('duplicate', sample);
      if (before === undefined || (lowest && value < before)) kept.set(sample, value);
    },
    take() {
      let text = '';
      for (const [sample, value] of kept) text += `${sample} ${value}\n`;
      series += kept.size;
      kept.clear();
      return text;
    },
  };
}
