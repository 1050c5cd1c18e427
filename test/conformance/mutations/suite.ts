import { appendFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../simulators/random.ts';
import type { Subject } from '../conformance.ts';
import { type Mutation, nameOf } from './catalogue.ts';
import { type Run, runMutation } from './run.ts';
import { prepare, type Stage } from './stage.ts';
import { isFault, judge, outcomes, type Verdict } from './verdict.ts';

/**
 * Changes every answer that a provider reads, one change at a time, on its way from the simulator's socket, and asks of
 * the real exposition that nothing false and nothing silent comes of it.
 *
 * `SEED` chooses the places and the sample; `LONG=1` runs everything, and measures; `MUTATION` runs what fits a rule (several: a line each);
 * `MUTATIONS` names a file that gets each verdict as a line of JSON.
 */
const seed = Number(process.env['SEED'] ?? 1);
const long = process.env['LONG'] === '1';
const only = process.env['MUTATION'];
const report = process.env['MUTATIONS'];
const patience = long || only !== undefined ? 7_200_000 : 300_000;

/** `operation | path | kind`, in which `*` stands for anything. */
export type MutationRule = string;

export interface MutationOptions {
  /** Fields that the vendor's schema lets be absent though the simulator always sends them: `operation | path`. */
  readonly optional?: readonly string[];
  /** Changes that make another valid answer, though their kind does not tell so. */
  readonly plausible?: readonly MutationRule[];
  /** Changes that may be about every repository, though what is changed names some: a rule that cannot be read may take any. */
  readonly everywhere?: readonly MutationRule[];
  /** What is known to go wrong today. Each must still go wrong: what was mended is taken out. */
  readonly pending?: readonly MutationRule[];
  /** How many mutations a short run has. */
  readonly sample?: number;
}

const fits = (rules: readonly string[]) => {
  const patterns = rules.map((rule) => rule.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*'));
  const all = new RegExp(`^(?:${patterns.join('|')})$`, 's');
  return (name: string): boolean => rules.length > 0 && all.test(name);
};

/** Some of them, by chance of the seed. */
function some<T>(all: readonly T[], count: number, salt: number): T[] {
  const random = createRandom(seed + salt);
  const drawn = all.map((one) => [random(), one] as const).sort(([a], [b]) => a - b);
  return drawn.slice(0, count).map(([, one]) => one);
}

interface Result {
  readonly mutation: Mutation;
  readonly verdict: Verdict;
  readonly run: Run;
}

/** Half of the mutations begin after a clean poll; always the same ones. */
const isWarm = (mutation: Mutation): boolean =>
  [...nameOf(mutation)].reduce((sum, character) => sum + character.charCodeAt(0), seed) % 2 === 0;

async function tryMutation({ bench, clean }: Stage, mutation: Mutation): Promise<Result> {
  bench.hits.length = 0;
  let run = await runMutation(bench, mutation, isWarm(mutation));
  // What is remembered is asked by a first poll alone.
  if (run.warm && run.applied.every((times) => times === 0)) run = await runMutation(bench, mutation, false);
  const [hit] = bench.hits;
  const verdict: Verdict =
    hit === undefined
      ? judge(mutation, run, clean)
      : { outcome: 'WRONG', detail: `asked an inner address: ${hit}` };
  if (report !== undefined) {
    const { operation, path, kind, plausible, about } = mutation;
    const line = { ...verdict, operation, path, kind, plausible, about, warm: run.warm };
    appendFileSync(report, `${JSON.stringify(line)}\n`);
  }
  return { mutation, verdict, run };
}

/** Rows of kinds, columns of outcomes. */
function tableOf(results: readonly Result[]): string {
  const used = outcomes.filter((outcome) => results.some(({ verdict }) => verdict.outcome === outcome));
  const kinds = [...Map.groupBy(results, ({ mutation }) => mutation.kind)].sort(([a], [b]) =>
    a < b ? -1 : 1,
  );
  const width = Math.max(5, ...kinds.map(([kind]) => kind.length));
  const row = (title: string, of: readonly Result[]): string => {
    const cells = used.map((outcome) => {
      const count = of.filter(({ verdict }) => verdict.outcome === outcome).length;
      return String(count || '.').padStart(outcome.length + 2);
    });
    return `${title.padEnd(width)} ${String(of.length).padStart(5)}${cells.join('')}`;
  };
  const head = `${' '.repeat(width)}   ran${used.map((outcome) => `  ${outcome}`).join('')}`;
  return [head, ...kinds.map(([kind, of]) => row(kind, of)), row('all', results)].join('\n');
}

/** What took longest, and what took most memory. */
function measuresOf(results: readonly Result[]): string {
  const all = results.flatMap(({ mutation, run }) =>
    run.mutated.map(({ heldMs, grownBytes }) => ({
      name: nameOf(mutation),
      bytes: run.bytes,
      heldMs,
      grownBytes,
    })),
  );
  if (all.length === 0) return 'nothing was measured';
  const longest = all.reduce((a, b) => (b.heldMs > a.heldMs ? b : a));
  const largest = all.reduce((a, b) => (b.grownBytes > a.grownBytes ? b : a));
  return [
    `the loop was held for ${Math.round(longest.heldMs)} ms at most: ${longest.name} (${longest.bytes} bytes)`,
    `the process grew by ${Math.round(largest.grownBytes / 1e6)} MB at most: ${largest.name} (${largest.bytes} bytes)`,
  ].join('\n');
}

const longestHeldMs = 100;
const mostGrowth = 8;
/** Below this size the process grows by what it does anyway. */
const grownFrom = 4e6;

/** Whether an answer holds the event loop too long, or takes too much memory for its size. */
const isCostly = ({ run }: Result): boolean =>
  run.mutated.some(
    ({ heldMs, grownBytes }) =>
      heldMs > longestHeldMs || (run.bytes >= grownFrom && grownBytes > mostGrowth * run.bytes),
  );

/** Those that cost too much whenever they are tried: what else runs on the machine costs too. */
async function costly(stage: Stage, results: readonly Result[]): Promise<string[]> {
  const found: string[] = [];
  for (const { mutation } of results.filter(isCostly)) {
    let tries = 0;
    while (tries < 4 && isCostly(await tryMutation(stage, mutation))) tries += 1;
    if (tries === 4) found.push(nameOf(mutation));
  }
  return found;
}

export function mutations(subject: Subject, options: MutationOptions = {}): void {
  const { optional = [], plausible = [], everywhere = [], pending = [], sample = 16 } = options;
  const isPending = fits(pending);
  const isChosen = fits(only?.split('\n') ?? []);

  describe('answers that are changed', () => {
    let stage: Stage;
    beforeAll(async () => {
      const prepared = await prepare(subject, seed, { optional: fits(optional), plausible: fits(plausible) });
      const isEverywhere = fits(everywhere);
      const mutations = prepared.mutations.map((one) =>
        isEverywhere(nameOf(one)) ? { ...one, about: [] } : one,
      );
      stage = { ...prepared, mutations };
    });
    afterAll(() => stage?.close());

    test(
      'show the truth or nothing, say so once, and change nothing else',
      async () => {
        const isMeant = only === undefined ? (name: string) => !isPending(name) : isChosen;
        // Throttling is waited for as long as a poll may take: too long for a short run.
        const isShort = ({ kind }: Mutation) => long || only !== undefined || kind !== 'status 429';
        const all = stage.mutations.filter((one) => isMeant(nameOf(one)) && isShort(one));
        const results: Result[] = [];
        for (const mutation of some(all, long || only !== undefined ? all.length : sample, 1))
          results.push(await tryMutation(stage, mutation));
        const { operations } = stage;
        console.log(
          `${subject.provider.type}: ${results.length} of ${stage.mutations.length} mutations of ${operations.length} operations, seed ${seed}`,
          `\n  ${operations.join('\n  ')}\n${tableOf(results)}${long || only !== undefined ? `\n${measuresOf(results)}` : ''}`,
        );
        const wrong = results.filter(({ verdict }) => isFault(verdict.outcome));
        expect(
          wrong.map(({ mutation, verdict }) => `${verdict.outcome}: ${nameOf(mutation)}: ${verdict.detail}`),
        ).toEqual([]);
        if (long) expect(await costly(stage, results)).toEqual([]);
      },
      patience,
    );

    test.skipIf(pending.length === 0 || only !== undefined)(
      'what is known to go wrong still does',
      async () => {
        const mended: string[] = [];
        for (const rule of some(pending, long ? pending.length : 2, 2)) {
          const isMeant = fits([rule]);
          const own = stage.mutations.filter((one) => isMeant(nameOf(one)));
          let wrong = own.length === 0;
          for (const mutation of own) wrong ||= isFault((await tryMutation(stage, mutation)).verdict.outcome);
          if (!wrong) mended.push(rule);
        }
        expect(mended, 'these go well now: take them out of the list').toEqual([]);
      },
      patience,
    );
  });
}
