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
   * @param head the series up to the labels in which it differs from the others until the next {@link take}
   * @param rest the rest of it
   * @param twice what becomes of a second sample of the series: the lower value or the first is kept; `never` where it
   * cannot come twice, since looking takes longer than writing
   */
  add(head: string, rest: string, value: number | undefined, twice: 'lowest' | 'first' | 'never'): void;
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
  let distinct = '';
  let start = '';
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
    add(head, rest, value, twice) {
      if (value === undefined) return;
      start = head;
      // Totals are read back from JSON, where what was no number is null.
      if (!Number.isFinite(value)) return refuse('invalid_value', head + rest);
      if (twice === 'never') {
        distinct += `${head}${rest} ${value}\n`;
        series += 1;
        return;
      }
      const before = kept.get(rest);
      if (before !== undefined) refuse('duplicate', head + rest);
      if (before === undefined || (twice === 'lowest' && value < before)) kept.set(rest, value);
    },
    take() {
      let text = distinct;
      distinct = '';
      if (kept.size === 0) return text;
      for (const [rest, value] of kept) text += `${start}${rest} ${value}\n`;
      series += kept.size;
      kept.clear();
      return text;
    },
  };
}

/**
 * Labels that name each thing once: their values are taken from fixed lists, and images are told apart by their tag and
 * digest before they are written.
 */
const distinctLabels: ReadonlySet<string> = new Set([
  ...['state', 'kind', 'severity', 'status', 'practice'],
  ...['tag', 'digest'],
]);

/** What becomes of a second sample, by the labels that tell the samples of a repository's row apart. */
export const twiceOf = (labels: readonly string[]): 'first' | 'never' =>
  labels.every((label) => distinctLabels.has(label)) ? 'never' : 'first';

/**
 * Writes the samples of a row of the table, of one repository or registry after the other, which share their first
 * labels each. What all of them share is made once: a row is written for each of a hundred thousand repositories.
 */
export function rowWriter<Given>(
  writer: SampleWriter,
  row: {
    readonly name: string;
    readonly labels: readonly string[];
    readonly samples: (input: Given, emit: (value: number | undefined, ...values: string[]) => void) => void;
  },
  twice: 'lowest' | 'first' | 'never',
): (input: Given, labels: string) => string {
  let shared = '';
  let head: string | undefined;
  const emit = (value: number | undefined, ...values: string[]): void => {
    if (value === undefined) return;
    let rest = '';
    for (let at = 0; at < row.labels.length; at += 1)
      rest += `,${row.labels[at]}="${escapeLabel(values[at] ?? '')}"`;
    head ??= `${row.name}{${shared}`;
    writer.add(head, `${rest}}`, value, twice);
  };
  return (input, labels) => {
    shared = labels;
    head = undefined;
    row.samples(input, emit);
    return writer.take();
  };
}
