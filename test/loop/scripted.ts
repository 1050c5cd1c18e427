import { z } from 'zod';
import type { Image, Observation } from '../../src/model.ts';
import { type CollectContext, defineProvider, type Provider } from '../../src/provider.ts';

/** What the next poll does: streams observations, or throws. */
export type Script = (context: CollectContext) => AsyncIterable<Observation> | Iterable<Observation>;

/** A provider that does what the test says, poll by poll. */
export function scripted(first: Script): { readonly provider: Provider; say(next: Script): void } {
  let script = first;
  return {
    say(next) {
      script = next;
    },
    provider: defineProvider({
      type: 'scripted',
      label: 'scripted',
      options: z.strictObject({ endpoint: z.string().optional() }),
      capabilities: { repositories: 'all', findings: 'some' },
      identity: () => ({ host: 'registry.example.com' }),
      async *collect(_options, context) {
        yield* script(context);
      },
    }),
  };
}

export const imageOf = (digest: string, more: Partial<Image> = {}): Image => ({
  digest: `sha256:${digest}`,
  kind: 'image',
  tags: [digest],
  sizeBytes: 100,
  ...more,
});

/** A repository that was listed to its end. */
export const listed = (repository: string, ...images: Image[]): Observation[] => [
  { type: 'repository', repository, facts: { listsUntagged: true } },
  { type: 'images', repository, images },
  { type: 'repository-complete', repository },
];

export const failed = (repository: string, error: unknown): Observation[] => [
  { type: 'repository', repository },
  { type: 'repository-failed', repository, error },
];

/** A registry with these repositories, of one image each. */
export const holding =
  (...repositories: string[]): Script =>
  () =>
    repositories.flatMap((name) => listed(name, imageOf('v1')));

/** Waits for a condition; the test's own timeout ends it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** The same by turns of the event loop, for a test that holds the clock: what follows of a timer takes no time. */
export async function untilByTurns(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}
