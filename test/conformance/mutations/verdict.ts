import { parseExposition } from '../../support/exposition-text.ts';
import type { Mutation } from './catalogue.ts';
import { back, type Renames, renamed } from './digests.ts';
import type { Observed, Run } from './run.ts';

/** What a mutation showed, the worst first. */
export const outcomes = [
  /** A number that is neither the truth nor absent, `/metrics` that cannot be read, another registry that changed. */
  'WRONG',
  /** Numbers are absent, and nothing says so. */
  'SILENT',
  /** Repositories that the change is not about lost numbers. */
  'SPREAD',
  /** A later poll warned again. */
  'NOISY',
  /** Every poll asks for what can never succeed, or more than retries explain. */
  'REPEATS',
  /** Log, status or labels grow with the answer. */
  'LARGE',
  /** The truth did not come back with the right answers. */
  'STUCK',
  'failed poll',
  'failed repository',
  'absent, said',
  'left out, said',
  'plausible',
  'equal',
  /** The changed answer was never asked for. */
  'not asked',
] as const;
export type Outcome = (typeof outcomes)[number];
const faults: readonly Outcome[] = ['WRONG', 'SILENT', 'SPREAD', 'NOISY', 'REPEATS', 'LARGE', 'STUCK'];
export const isFault = (outcome: Outcome): boolean => faults.includes(outcome);

export interface Verdict {
  readonly outcome: Outcome;
  readonly detail: string;
}

/** The clean polls that others are compared with. */
export interface Baseline {
  /** Value by series, of those that all clean polls expose alike. */
  readonly series: ReadonlyMap<string, number>;
  /** The same of all tagged images, not of the newest alone: which those are may be unknown. */
  readonly ofImages: ReadonlyMap<string, number>;
  /** Series that differ from one clean poll to the next. */
  readonly volatile: ReadonlySet<string>;
  /** Requests of the first poll. */
  readonly cold: ReadonlyMap<string, number>;
  /** Requests of a later one. */
  readonly warm: ReadonlyMap<string, number>;
  /** The gist of what is told of valid answers too, such as advice: it says nothing of a changed one. */
  readonly told: ReadonlySet<string>;
  readonly logged: number;
  readonly status: number;
  readonly retries: number;
}

/** Families that tell of polls and not of the registry. */
const ofPolls =
  /^container_registry_(up|poll_.*|polls_total|failed_polls_in_a_row|failed_repositories|last_.*|capability_up|info|series_dropped|api_.*|pushes_total|places_up)$/;
/** So much more than a clean poll may be logged, or stand in the status. */
const spare = 64_000;
const longestSeries = 2_000;

/** Values by series, without those of polls. @throws Error for what is no exposition */
export function valuesOf(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const { name, labels, value } of parseExposition(text))
    if (!ofPolls.test(name))
      values.set(`${name.replace('container_registry_', '')}${JSON.stringify(labels)}`, value);
  return values;
}

const labelsOf = (series: string): Record<string, string> => JSON.parse(series.slice(series.indexOf('{')));

/** The sum over the repositories whose scans are known follows what is exposed of these. */
function isSumOfScans(series: string, value: number, values: ReadonlyMap<string, number>): boolean {
  if (!series.startsWith('scans{')) return false;
  const { registry, status } = labelsOf(series);
  const summed = [...values].filter(([other]) => {
    if (!other.startsWith('repository_image_scans{')) return false;
    const labels = labelsOf(other);
    return labels['registry'] === registry && labels['status'] === status;
  });
  return value === summed.reduce((sum, [, count]) => sum + count, 0);
}

const short = (series: Iterable<string>): string => {
  const all = [...series];
  const shown = all.slice(0, 3).map((one) => one.replace('"registry":"edge",', '').slice(0, 200));
  return `${all.length} series: ${shown.join('; ')}`;
};

/** How numbers differ from those of clean polls. */
interface Difference {
  /** Series, and how they differ. */
  readonly wrong: ReadonlyMap<string, string>;
  readonly missing: ReadonlySet<string>;
}

function differenceOf(text: string, clean: Baseline, renames: Renames): Difference {
  const wrong = new Map<string, string>();
  const values = valuesOf(text);
  for (const [series, value] of values) {
    const usual = clean.series.get(series) ?? clean.ofImages.get(series);
    if (usual === value || clean.volatile.has(back(series, renames))) continue;
    if (isSumOfScans(series, value, values)) continue;
    // What somebody pushed with a longer manifest is larger.
    if (renames.size > 0 && usual !== undefined && /^(storage|\w+size)_bytes/.test(series)) continue;
    wrong.set(series, `${series} ${value}, not ${usual}`);
  }
  return { wrong, missing: new Set([...clean.series.keys()].filter((series) => !values.has(series))) };
}

/** What the polls say of themselves. */
function saidBy(mutated: readonly Observed[], clean: Baseline) {
  const samples = mutated.flatMap(({ text }) =>
    parseExposition(text).filter(({ labels }) => labels['registry'] === 'edge'),
  );
  const has = (name: string, fits: (value: number, labels: Readonly<Record<string, string>>) => boolean) =>
    samples.some((one) => one.name === `container_registry_${name}` && fits(one.value, one.labels));
  const failedPoll = has('up', (value) => value === 0);
  const failedRepository = has(
    'poll_failures_total',
    (value, { reason }) => value > 0 && reason === 'partial',
  );
  const anything =
    failedPoll ||
    failedRepository ||
    mutated.some(({ told }) => told.some((line) => !clean.told.has(gist(line)))) ||
    has('capability_up', (value) => value === 0);
  const way: Outcome = failedPoll ? 'failed poll' : failedRepository ? 'failed repository' : 'absent, said';
  return { anything, failedPoll, way };
}

/** Judges the numbers alone. */
function judgeNumbers(mutation: Mutation, { mutated, renames }: Run, clean: Baseline): Verdict {
  const wrong = new Map<string, string>();
  const missing = new Set<string>();
  try {
    for (const { text } of mutated) {
      const difference = differenceOf(text, clean, renames);
      for (const [series, how] of difference.wrong) wrong.set(series, how);
      for (const series of difference.missing) missing.add(series);
    }
  } catch (error) {
    return { outcome: 'WRONG', detail: `/metrics cannot be read: ${(error as Error).message}` };
  }
  const differing = [...wrong.keys(), ...missing];
  const large = differing.find((series) => series.length > longestSeries);
  if (large) return { outcome: 'LARGE', detail: `a series of ${large.length} characters` };
  const other = differing.filter((series) => labelsOf(series)['registry'] !== 'edge');
  if (other.length > 0) return { outcome: 'WRONG', detail: `another registry: ${short(other)}` };
  const elsewhere = differing.filter((series) => {
    const { repository } = labelsOf(series);
    return repository !== undefined && mutation.about.length > 0 && !mutation.about.includes(repository);
  });
  const said = saidBy(mutated, clean);

  if (mutation.plausible) {
    // A name that is changed makes a repository of another name, and that is what the registry says.
    const known = elsewhere.filter((series) => clean.series.has(series));
    if (known.length > 0) return { outcome: 'SPREAD', detail: short(known) };
    const ofRepositories = [...clean.series.keys()].filter((series) => labelsOf(series)['repository']);
    if (!said.anything && ofRepositories.every((series) => missing.has(series)))
      return { outcome: 'SILENT', detail: 'every repository is gone' };
    if (differing.length > 0) return { outcome: 'plausible', detail: short(differing) };
    return { outcome: said.anything ? said.way : 'equal', detail: '' };
  }
  const isLeftOut = mutation.oddElement && said.anything && !said.failedPoll && elsewhere.length === 0;
  if (wrong.size > 0 && !isLeftOut) return { outcome: 'WRONG', detail: short(wrong.values()) };
  if (elsewhere.length > 0) return { outcome: 'SPREAD', detail: `${said.way}; ${short(elsewhere)}` };
  if (missing.size > 0 && !said.anything) return { outcome: 'SILENT', detail: short(missing) };
  if (wrong.size > 0) return { outcome: 'left out, said', detail: short(wrong.values()) };
  return { outcome: said.anything ? said.way : 'equal', detail: short(missing) };
}

/** A line without what differs each time it is told. */
export const gist = (line: string): string =>
  line
    .replace(/\bts=\S+/, '')
    .replace(/\d+/g, '0')
    .slice(0, 300);

/** @returns a warning that a poll gave again, or that the third gave at all */
function noise(mutated: readonly Observed[]): string | undefined {
  const known = new Set<string>();
  for (const [index, { told }] of mutated.entries()) {
    const again = told.find((line) => known.has(gist(line)) || index === 2);
    if (again !== undefined) return again.slice(0, 400);
    for (const line of told) known.add(gist(line));
  }
  return undefined;
}

/** @returns what of log or status grows with the answer */
function growth(mutated: readonly Observed[], clean: Baseline): string | undefined {
  for (const { logged, status } of mutated) {
    if (logged > clean.logged + spare) return `${logged} characters of log`;
    if (status > clean.status + spare) return `${status} characters of status`;
  }
  return undefined;
}

const total = (requests: ReadonlyMap<string, number>): number =>
  [...requests.values()].reduce((a, b) => a + b, 0);

/**
 * Of what did not give the truth in another way.
 * @returns what is asked at every poll though it can never succeed, or more than retries explain
 */
function repeats(mutation: Mutation, { mutated, applied }: Run, clean: Baseline): string | undefined {
  const { requests } = mutated.at(-1) as Observed;
  const usual = total(clean.cold);
  if (total(requests) > usual * (1 + clean.retries) + 10)
    return `${total(requests)} requests in the third poll, ${usual} in a clean first one`;
  const own = requests.get(mutation.operation) ?? 0;
  const ownUsual = clean.warm.get(mutation.operation) ?? 0;
  return !mutation.mayPass && own > ownUsual && (applied.at(-1) ?? 0) > 0
    ? `${own} of ${mutation.operation} at every poll, ${ownUsual} in a clean one`
    : undefined;
}

/** @returns what is not the truth again after the answers were right again; what was believed may be remembered */
function stuck(mutation: Mutation, { after }: Run, clean: Baseline): string | undefined {
  if (mutation.plausible) return undefined;
  const { wrong, missing } = differenceOf((after.at(-1) as Observed).text, clean, new Map());
  return wrong.size + missing.size > 0 ? short([...wrong.values(), ...missing]) : undefined;
}

/** What a mutation showed. */
export function judge(mutation: Mutation, run: Run, clean: Baseline): Verdict {
  if (run.applied.every((times) => times === 0)) return { outcome: 'not asked', detail: '' };
  const { renames, mutated } = run;
  const here = (series: ReadonlyMap<string, number>) =>
    new Map([...series].map(([one, value]) => [renamed(one, renames), value]));
  const numbers = judgeNumbers(mutation, run, {
    ...clean,
    series: here(clean.series),
    ofImages: here(clean.ofImages),
  });
  if (isFault(numbers.outcome)) return numbers;
  const checks: readonly (readonly [Outcome, string | undefined])[] = [
    ['NOISY', noise(mutated)],
    ['LARGE', growth(mutated, clean)],
    ['REPEATS', numbers.outcome === 'equal' ? undefined : repeats(mutation, run, clean)],
    ['STUCK', stuck(mutation, run, clean)],
  ];
  for (const [outcome, detail] of checks) if (detail !== undefined) return { outcome, detail };
  return { ...numbers, detail: `${numbers.detail} ${mutated[0]?.told[0]?.slice(0, 300) ?? ''}`.trim() };
}
