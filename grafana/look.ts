import type { severities } from '../src/model.ts';
import { type Threshold, type ThresholdName, thresholds } from './thresholds.ts';

/** What a colour means. Each meaning has one colour on all boards. */
export const colours = {
  good: 'green',
  warn: 'yellow',
  bad: 'red',
  unknown: 'purple',
  neutral: 'blue',
  plain: 'text',
} as const;
export type Meaning = keyof typeof colours;

type Severity = (typeof severities)[number];
/** Colours of what legends and columns are called, so that the same thing looks the same everywhere. */
export const namedColours: Readonly<Record<string, string>> = {
  ...({
    CRITICAL: 'dark-red',
    HIGH: 'orange',
    MEDIUM: 'yellow',
    LOW: 'blue',
    NEGLIGIBLE: 'light-blue',
    UNKNOWN: colours.unknown,
  } satisfies Record<Severity, string>),
  complete: colours.good,
  pending: colours.warn,
  failed: colours.bad,
  unsupported: 'light-blue',
  none: colours.unknown,
  accepted: colours.good,
  rejected: colours.bad,
};

/** A value mapping of Grafana. */
export type Mapping =
  | { readonly type: 'value'; readonly options: Readonly<Record<string, MappingResult>> }
  | {
      readonly type: 'special';
      readonly options: { readonly match: 'null+nan'; readonly result: MappingResult };
    };
interface MappingResult {
  readonly text: string;
  readonly color: string;
  readonly index: number;
}

/** What is not known is shown as such, and looks like nothing else. */
export const noData: Mapping = {
  type: 'special',
  options: { match: 'null+nan', result: { text: 'No data', color: colours.unknown, index: 0 } },
};

const words = (...all: readonly (readonly [value: number, text: string, meaning: Meaning])[]): Mapping => ({
  type: 'value',
  options: Object.fromEntries(
    all.map(([value, text, meaning], index) => [
      String(value),
      { text, color: colours[meaning], index: index + 1 },
    ]),
  ),
});

/** Words for numbers that are states. */
export const states = {
  /** Of the exporter, as Prometheus sees it. */
  exporter: words([1, 'Up', 'good'], [0, 'Down', 'bad'], [-1, 'No target', 'bad']),
  /** Of a registry. */
  registry: words(
    [1, 'Up', 'good'],
    [0.5, 'Late', 'warn'],
    [0, 'Down', 'bad'],
    [-1, 'Never polled', 'unknown'],
  ),
  /** Of anything that works or fails. */
  works: words([1, 'Works', 'good'], [0, 'Fails', 'bad']),
  /** Of a practice. */
  followed: words([1, 'Followed', 'good'], [0, 'Not followed', 'warn']),
  /** Of a yes or no that is neither good nor bad. */
  yesNo: words([1, 'Yes', 'plain'], [0, 'No', 'plain']),
  /** Of what not every registry tells of. */
  told: words([-1, 'Not told', 'neutral']),
  /** Of a forecast. */
  forecast: words([-1, 'Too early', 'neutral']),
  /** Of a signature. */
  signed: words([1, 'Signed', 'good'], [0, 'Not signed', 'warn']),
} as const;
export type StateName = keyof typeof states;

/** Steps of Grafana: the first has no value, since it holds from minus infinity on. */
export interface Steps {
  readonly mode: 'absolute';
  readonly steps: readonly { readonly value: number | null; readonly color: string }[];
}

/** The steps of one threshold; without one everything looks the same. */
export function steps(name?: ThresholdName): Steps {
  if (!name) return { mode: 'absolute', steps: [{ value: null, color: colours.plain }] };
  const { warn, bad, below }: Threshold = thresholds[name];
  const from = (value: number | null, meaning: Meaning) => ({ value, color: colours[meaning] });
  const all = below
    ? [from(null, 'bad'), from(bad, 'warn'), from(warn, 'good')]
    : [from(null, 'good'), ...(warn < bad ? [from(warn, 'warn')] : []), from(bad, 'bad')];
  return { mode: 'absolute', steps: all.filter(({ value }) => value === null || Number.isFinite(value)) };
}
