import { z } from 'zod';
import { defined } from '../defined.ts';
import {
  amount,
  count,
  type Findings,
  type Image,
  type RegistryFacts,
  type RepositoryFacts,
  registryFacts,
  type SeverityCounts,
  severities,
  taskResults,
  time,
  toldNumbers,
} from '../model.ts';
import { isPlainName, keptName } from '../names.ts';
import { aheadSeconds } from '../times.ts';

/**
 * The last gate before numbers are counted: whatever a registry sent and a provider let through, what cannot be is
 * unknown from here on, and said. Sums, and what is the newest, then depend on nothing impossible.
 */
export interface Gate {
  /** Unix seconds. */
  readonly now: number;
  /** Called with a value that is impossible. */
  doubt(field: string, value: unknown): void;
}

/**
 * `count`: a whole number of things or bytes. `amount`: a number that is not negative. `time`: when something happened;
 * a time that is further ahead than clocks differ is none, and zero says that there was none.
 */
type Measure = 'count' | 'amount' | 'time';
type Measures = Readonly<Record<string, Measure>>;

function isPlausible(measure: Measure, value: unknown, now: number): boolean {
  if (typeof value !== 'number' || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) return false;
  if (measure === 'time') return value > 0 && value <= now + aheadSeconds;
  return measure === 'amount' || Number.isInteger(value);
}

/** The record itself when all of it can be; else one without the fields that cannot. */
function plausible<T extends object>(record: T, measures: Measures, gate: Gate): T {
  let good = record;
  for (const field in measures) {
    const value = (record as Record<string, unknown>)[field];
    if (value === undefined || isPlausible(measures[field] as Measure, value, gate.now)) continue;
    if (good === record) good = { ...record };
    delete (good as Record<string, unknown>)[field];
    // A time of zero says that there was none.
    // Programs write the year 1 for "never".
    const isZeroTime = measures[field] === 'time' && typeof value === 'number' && value <= 0;
    if (!isZeroTime) gate.doubt(field, value);
  }
  return good;
}

/** What a schema says without being optional or read-only. */
function withoutWrappers(schema: unknown): unknown {
  const wraps = schema instanceof z.ZodOptional || schema instanceof z.ZodReadonly;
  return wraps ? withoutWrappers(schema.unwrap()) : schema;
}

/** The fields of a fact that are numbers, and what kind of number the model says that they are. */
function measuresOf(fact: z.ZodObject): Measures {
  const measures = new Map<unknown, Measure>([
    [count, 'count'],
    [amount, 'amount'],
    [time, 'time'],
  ]);
  const fields = Object.entries(fact.shape).map(
    ([field, schema]) => [field, measures.get(withoutWrappers(schema))] as const,
  );
  return Object.fromEntries(fields.filter((field): field is [string, Measure] => field[1] !== undefined));
}

const countsOf = (keys: readonly string[]): Measures => Object.fromEntries(keys.map((key) => [key, 'count']));
const severityMeasures = countsOf(severities);

function plausibleFindings(findings: Findings, gate: Gate): Findings {
  return {
    ...plausible(findings, { fixableTotal: 'count' }, gate),
    counts: plausible<SeverityCounts>(findings.counts, severityMeasures, gate),
    fixable: findings.fixable && plausible<SeverityCounts>(findings.fixable, severityMeasures, gate),
  };
}

/** Each tag once, as it is kept. */
function plausibleTags(tags: readonly string[]): readonly string[] {
  if (tags.every(isPlainName) && (tags.length < 2 || new Set(tags).size === tags.length)) return tags;
  return [...new Set(tags.map(keptName))];
}

const imageMeasures: Measures = {
  sizeBytes: 'count',
  sizeWithPlatforms: 'count',
  pushedAt: 'time',
  pulledAt: 'time',
  scannedAt: 'time',
  inUse: 'count',
};

const isCount = (value: number | undefined): boolean =>
  value === undefined || (Number.isSafeInteger(value) && value >= 0);
const isTime = (value: number | undefined, now: number): boolean =>
  value === undefined || (Number.isFinite(value) && value > 0 && value <= now + aheadSeconds);

/**
 * An image has a manifest and a configuration at least: registries that did not keep its size say 0.
 * https://github.com/docker/hub-feedback/issues/116
 */
const lacksSize = ({ kind, sizeBytes }: Image): boolean =>
  sizeBytes === 0 && (kind === 'image' || kind === 'platform');

/** Whether an image can be as it is. The same as the measures say, without a loop: a poll may see millions. */
function isWhole(image: Image, now: number): boolean {
  const { findings } = image;
  return (
    isCount(image.sizeBytes) &&
    !lacksSize(image) &&
    isTime(image.pushedAt, now) &&
    isTime(image.pulledAt, now) &&
    isTime(image.scannedAt, now) &&
    isCount(image.sizeWithPlatforms) &&
    isCount(image.inUse) &&
    (!findings ||
      (areCounts(findings.counts) &&
        isCount(findings.fixableTotal) &&
        (!findings.fixable || areCounts(findings.fixable))))
  );
}

const areCounts = (counts: SeverityCounts): boolean =>
  isCount(counts.CRITICAL) &&
  isCount(counts.HIGH) &&
  isCount(counts.MEDIUM) &&
  isCount(counts.LOW) &&
  isCount(counts.NEGLIGIBLE) &&
  isCount(counts.UNKNOWN);

/** An image without what cannot be; nearly always the image itself. */
export function plausibleImage(image: Image, gate: Gate): Image {
  if (
    isWhole(image, gate.now) &&
    isPlainName(image.digest) &&
    (!image.tags || plausibleTags(image.tags) === image.tags)
  )
    return image;
  const sized = lacksSize(image) ? { ...image, sizeBytes: undefined } : image;
  return {
    ...plausible(sized, imageMeasures, gate),
    digest: keptName(image.digest),
    tags: image.tags && plausibleTags(image.tags),
    findings: image.findings && plausibleFindings(image.findings, gate),
  };
}

const repositoryMeasures: Measures = { ...measuresOf(toldNumbers), pulledAt: 'time', pushedAt: 'time' };

export const plausibleRepositoryFacts = (facts: RepositoryFacts, gate: Gate): RepositoryFacts =>
  plausible(facts, repositoryMeasures, gate);

const registryMeasures = measuresOf(registryFacts);

/** What is measured of the items of each list, and the measured field without which an item says nothing. */
const listMeasures = Object.entries(registryFacts.shape).flatMap(([list, schema]) => {
  const items = withoutWrappers(schema);
  if (!(items instanceof z.ZodArray) || !(items.element instanceof z.ZodObject)) return [];
  const measures = measuresOf(items.element);
  const { shape } = items.element;
  const needs = Object.keys(measures).find((field) => !(shape[field] instanceof z.ZodOptional));
  return [{ list, measures, needs }];
});

const taskMeasures = countsOf(taskResults);

/** Texts of a record as names are kept, without its undefined fields. */
const withKeptNames = <T extends object>(record: T): T =>
  Object.fromEntries(
    Object.entries(defined(record)).map(([key, value]) => [
      key,
      typeof value === 'string' ? keptName(value) : value,
    ]),
  ) as T;

/** Facts of the registry without what cannot be. */
export function plausibleRegistryFacts(facts: RegistryFacts, gate: Gate): RegistryFacts {
  const good = withKeptNames(plausible(facts, registryMeasures, gate)) as Record<string, unknown>;
  for (const { list, measures, needs } of listMeasures) {
    const items = good[list] as readonly Record<string, unknown>[] | undefined;
    if (!items) continue;
    good[list] = items.flatMap((item) => {
      if (!item) return [];
      const checked = withKeptNames(plausible(item, measures, gate));
      if (needs !== undefined && checked[needs] === undefined) return [];
      const { items: results } = checked;
      return results ? { ...checked, items: plausible(results as object, taskMeasures, gate) } : checked;
    });
  }
  return good as RegistryFacts;
}

/** Where a registry is, as names are kept. */
export const plausibleIdentity = withKeptNames;
