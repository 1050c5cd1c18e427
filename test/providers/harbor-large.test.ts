import { describe, expect, test } from 'vitest';
import { betterTogether } from '../../src/providers/harbor/listed.ts';
import { digestNumber, estateOf, setupHarbor } from '../support/harbor.ts';

/** Which lists are read of a project: one of all its artifacts, or one of each repository. */

const listed = (repositories: number, artifacts: number) =>
  Array.from({ length: repositories }, (_, number) => ({
    name: `team/app-${number}`,
    project: 'team',
    path: `app-${number}`,
    artifacts,
  }));

describe('a project is read together', () => {
  test.each<[number, number, boolean]>([
    [1, 1, true],
    [100, 1, true],
    [20, 100, true],
    [4_000, 1, true],
    // Pages come one after the other, and each later one takes longer.
    [4_000, 50, false],
    [2_000, 20, false],
    // Of one repository there is nothing to read side by side.
    [1, 200_000, false],
  ])('%i repositories of %i artifacts: %s', (repositories, artifacts, together) => {
    const wanted = listed(repositories, artifacts);
    const reading = { pageSize: 100, concurrency: 8 };
    expect(betterTogether(wanted, repositories * artifacts, reading)).toBe(together);
  });

  test('where no fewer are wanted than there are', () => {
    const reading = { pageSize: 100, concurrency: 8 };
    expect(betterTogether(listed(3, 10), 1_000, reading)).toBe(false);
  });
});

test('a project that turns out to be larger than its repositories said is left for one list of each', async () => {
  // Platforms are not among the artifacts that a repository counts.
  const platforms = (from: number) =>
    Array.from({ length: 30 }, (_, number) => ({
      digest: digestNumber(from + number),
      kind: 'platform' as const,
    }));
  const repository = (number: number) => {
    const parts = platforms(number * 100 + 1);
    const index = { kind: 'index' as const, platforms: parts.map(({ digest }) => digest), tags: ['v1'] };
    return [...parts, { ...index, digest: digestNumber(number * 100 + 99) }];
  };
  const names = Array.from({ length: 300 }, (_, number) => `team/app-${number}`);
  const { running, cost } = await setupHarbor(
    estateOf(Object.fromEntries(names.map((name, number) => [name, repository(number)]))),
  );
  // One page of the project, and one of each repository.
  expect(await cost()).toMatchObject({ artifacts: 301 });
  const lines = (await running.lines('repository_artifacts')).filter((line) => line.includes('"platform"'));
  expect(lines).toHaveLength(300);
  expect(lines.every((line) => line.endsWith(' 30'))).toBe(true);
});
