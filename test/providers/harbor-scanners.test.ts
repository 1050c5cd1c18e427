import { describe, expect, test } from 'vitest';
import type { HarborWorld } from '../simulators/harbor-world.ts';
import { digestNumber, estateOf, setupHarbor } from '../support/harbor.ts';

/** Scanners of an installation, of which projects may have one of their own. */

const estate = () =>
  estateOf({
    'alpha/app': [{ digest: digestNumber(1), tags: ['v1'] }],
    'beta/app': [{ digest: digestNumber(2), tags: ['v1'], scan: { status: 'unsupported' } }],
  });
const world = (change: (world: HarborWorld) => void, version = 'v2.13.0-1') => ({
  change(given: HarborWorld) {
    given.version = version;
    change(given);
  },
});
const down = { name: 'Clair', up: false };
const statuses = (lines: readonly string[]) =>
  lines
    .filter((line) => line.endsWith(' 1'))
    .map((line) => line.replace('repository_image_scans', '').replace(' 1', ''));

describe.each(['v2.13.0-1', 'v2.9.0-1'])('a second scanner that does not answer (%s)', (version) => {
  test('and that no project has is no trouble of findings', async () => {
    const { running } = await setupHarbor(
      estate(),
      world(({ scanners }) => void scanners.push(down), version),
    );
    await running.poll();
    expect(await running.lines('component_up')).toContain('component_up{component="scanner Clair"} 0');
    expect(await running.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
    expect(statuses(await running.lines('repository_image_scans'))).toEqual([
      '{repository="alpha/app",status="none"}',
      '{repository="beta/app",status="unsupported"}',
    ]);
  });

  test('leaves out the findings of the projects that have it, and of no others', async () => {
    const { simulator, running } = await setupHarbor(
      estate(),
      world(({ scanners, projects }) => {
        scanners.push(down);
        Object.assign(projects[1] ?? {}, { scanner: 'Clair' });
      }, version),
    );
    await running.poll();
    await running.poll();
    expect(statuses(await running.lines('repository_image_scans'))).toEqual([
      '{repository="alpha/app",status="none"}',
    ]);
    expect(await running.lines('capability_up')).toContain('capability_up{capability="findings"} 0');
    expect(running.log()).toContain('of 1 project(s) such as beta');
    // Which scanner a project has is asked for no more often than its rules.
    expect(simulator.requests.get('project_scanner')).toBe(2);
  });
});

test('where the account may not read which scanner a project has, a missing report says nothing', async () => {
  const { running } = await setupHarbor(
    estate(),
    world(({ scanners, accounts }) => {
      scanners.push(down);
      accounts[1]?.permissions.delete('project/scanner:read');
    }),
  );
  await running.poll();
  expect(statuses(await running.lines('repository_image_scans'))).toEqual([
    '{repository="alpha/app",status="none"}',
  ]);
  expect(running.log()).toContain('scanner:read (project)');
});

test('while all of them answer, no project is asked for its scanner', async () => {
  const { simulator, running } = await setupHarbor(
    estate(),
    world(({ scanners }) => void scanners.push({ name: 'Clair', up: true })),
  );
  await running.poll();
  expect(simulator.requests.get('project_scanner')).toBeUndefined();
  expect(await running.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
});
