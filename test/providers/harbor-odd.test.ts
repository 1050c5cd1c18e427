import { describe, expect, test } from 'vitest';
import { digestNumber, estateOf, setupHarbor } from '../support/harbor.ts';

/**
 * One odd thing hides nothing else, and no number takes the place of one that could not be read. Each artifact is as
 * Harbor lists it, but for what a test is about.
 */
const good = (number: number, more: object = {}) => ({
  id: number,
  type: 'IMAGE',
  media_type: 'application/vnd.oci.image.config.v1+json',
  manifest_media_type: 'application/vnd.oci.image.manifest.v1+json',
  repository_name: 'team/app',
  digest: digestNumber(number),
  size: 100,
  push_time: `2026-11-0${number}T00:00:00.000Z`,
  pull_time: `2026-11-1${number}T00:00:00.000Z`,
  tags: [{ name: `v${number}` }],
  references: null,
  accessories: null,
  addition_links: { vulnerabilities: {} },
  scan_overview: {
    'application/vnd.security.vulnerability.report; version=1.1': {
      scan_status: 'Success',
      end_time: '2026-11-02T00:01:00.000Z',
      summary: { total: 3, fixable: 1, summary: { High: 2, Low: 1 } },
    },
  },
  ...more,
});
const families = [
  ...['repository_images', 'repository_tags', 'repository_artifacts', 'repository_size_bytes'],
  ...['repository_last_push_timestamp_seconds', 'repository_last_pull_timestamp_seconds'],
  ...['repository_findings', 'repository_vulnerable_images', 'repository_image_scans'],
  ...['repository_signed_images'],
];
/** Two good artifacts and an odd one; what of the families is there, and its values but 0. */
async function exposed(odd: unknown) {
  const { simulator, running } = await setupHarbor(
    estateOf({ 'other/app': [{ tags: ['v1'] }], 'team/app': [{ tags: ['v1'] }] }),
    { registry: { repositories: { include: ['team/app', 'other/app'] } } },
  );
  const body = JSON.stringify([good(1), odd, good(3)]);
  simulator.faults.push({
    fault: { type: 'body', body },
    operation: 'artifacts',
    repository: 'team/app',
  });
  await running.poll();
  await running.poll();
  const all = await running.lines(...families);
  const lines = all.filter((line) => line.includes('"team/app"') && !line.endsWith(' 0'));
  // The other repository is as it was, and nothing of the registry failed.
  expect(await running.value('up')).toBe(1);
  expect(all.filter((line) => line.includes('"other/app"') && line.startsWith('repository_tags'))).toEqual([
    'repository_tags{repository="other/app"} 1',
  ]);
  expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
  return {
    lines: lines.map((line) =>
      line
        .replace('repository="team/app",', '')
        .replace('repository="team/app"', '')
        .replace('repository_', ''),
    ),
    told: running
      .log()
      .split('\n')
      .filter((line) => line.includes('level=warn')),
  };
}

const whole = [
  'images{state="tagged"} 3',
  'tags{} 3',
  'size_bytes{} 300',
  'last_push_timestamp_seconds{} 1793664000',
  'last_pull_timestamp_seconds{} 1794528000',
  'findings{severity="HIGH"} 2',
  'findings{severity="LOW"} 1',
  'vulnerable_images{severity="HIGH"} 3',
  'vulnerable_images{severity="LOW"} 3',
  'image_scans{status="complete"} 3',
];
const without = (...words: string[]) => whole.filter((line) => !words.some((word) => line.startsWith(word)));

test('three good artifacts give every number, and nothing is told', async () => {
  const { lines, told } = await exposed(good(2));
  expect(lines).toEqual(whole);
  expect(told).toEqual([]);
});

const report = (given: object) => ({
  scan_overview: {
    'application/vnd.security.vulnerability.report; version=1.1': { scan_status: 'Success', ...given },
  },
});
const scans = ['vulnerable_images', 'image_scans'];
const index = { manifest_media_type: 'application/vnd.oci.image.index.v1+json', scan_overview: null };

describe('an artifact', () => {
  test.each<[string, object, readonly string[]]>([
    ['of a size beyond all numbers', { size: 1e308 }, without('size_bytes')],
    ['of a negative size', { size: -1 }, without('size_bytes')],
    ['whose size is a text', { size: 'large' }, without('size_bytes')],
    ['whose size is not told', { size: undefined }, without('size_bytes')],
    ['that was pushed at no time', { push_time: 'yesterday' }, without('last_push', 'findings')],
    ['that was pushed in 2099', { push_time: '2099-01-01T00:00:00Z' }, without('last_push', 'findings')],
    ['whose push time is not told', { push_time: null }, without('last_push', 'findings')],
    ['that was pulled at no time', { pull_time: 17 }, without('last_pull')],
    ['whose accessories are no list', { accessories: 'none' }, whole],
    ['with a report that is none', { scan_overview: 'clean' }, without(...scans)],
    ['with a report without a status', report({ scan_status: 7 }), without(...scans)],
    ['with a report whose counts are no numbers', report({ summary: { total: 'few' } }), without(...scans)],
    [
      'with a report that does not add up',
      report({ summary: { total: 3, fixable: 1, summary: { High: 2 } } }),
      without(...scans),
    ],
  ])('%s', async (_title, odd, wanted) => {
    const { lines, told } = await exposed(good(2, odd));
    expect(lines).toEqual(wanted);
    expect(told.length).toBeGreaterThan(0);
    expect(told.length).toBeLessThanOrEqual(2);
  });

  test.each<[string, object]>([
    ['with a tag that is none', { tags: [{ name: 'v2' }, { name: 'a b' }] }],
    ['with a tag that is null', { tags: [{ name: 'v2' }, null] }],
    ['whose tags are not told', { tags: undefined }],
  ])('%s: what counts all of them is unknown', async (_title, odd) => {
    const { lines, told } = await exposed(good(2, odd));
    expect(lines).toEqual([expect.stringMatching(/^tags\{\} [34]$/)]);
    expect(told).toEqual([expect.stringContaining('odd="[\\"tags\\"]"')]);
  });

  test.each([null, 17, 'sha256:x', {}, { digest: null }, good(2, { digest: 'sha256:short' })])(
    'that is none (%j): nothing can be counted',
    async (odd) => {
      const { lines, told } = await exposed(odd);
      expect(lines).toEqual([]);
      expect(told).toEqual([expect.stringContaining('could not be understood')]);
    },
  );

  test('with an accessory that is none: it is not known to be signed, and how many are attached is unknown', async () => {
    const signature = { digest: digestNumber(50), type: 'signature.cosign', size: 7 };
    const { lines } = await exposed(good(2, { accessories: [null] }));
    expect(lines).toEqual(whole);
    expect((await exposed(good(2, { accessories: [signature] }))).lines).toContain('signed_images{} 1');
  });

  test('that is an index whose platforms cannot be read: untagged images cannot be told from them', async () => {
    const { lines } = await exposed(good(2, { ...index, references: [{ child_digest: 5 }] }));
    expect(lines).toEqual(
      without('size_bytes', ...scans).concat(lines.filter((line) => /^image_scans|^vulner/.test(line))),
    );
    expect(lines.join()).not.toContain('untagged');
  });
});

test('a project list with an artifact of no known repository is left for one list per repository', async () => {
  const { simulator, running } = await setupHarbor(
    estateOf({ 'team/app': [{ tags: ['v1'] }], 'team/web': [{ digest: digestNumber(2), tags: ['v1'] }] }),
  );
  const body = JSON.stringify([{ digest: digestNumber(9) }]);
  simulator.faults.push({ fault: { type: 'body', body }, operation: 'artifacts', times: 1 });
  await running.poll();
  expect(await running.lines('repository_tags')).toEqual([
    'repository_tags{repository="team/app"} 1',
    'repository_tags{repository="team/web"} 1',
  ]);
});

describe('of one project', () => {
  test('a rule that cannot be read leaves unknown what the others do not decide', async () => {
    const { running } = await setupHarbor(estateOf({ 'team/app': [], 'team/web': [], 'other/app': [] }), {
      change: ({ projects }) => {
        const repository = [{ kind: 'doublestar', decoration: 'repoMatches', pattern: 'app' }];
        const odd = { scope_selectors: { repository: [{ decoration: 'repoMatches', pattern: 5 }] } };
        Object.assign(projects[0] ?? {}, { immutable: [{ id: 1, scope_selectors: { repository } }, odd] });
        Object.assign(projects[1] ?? {}, { immutable: [] });
      },
    });
    await running.poll();
    const lines = (await running.lines('repository_practice')).filter((line) => line.includes('immutable'));
    expect(lines).toEqual([
      'repository_practice{repository="other/app",practice="immutable_tags"} 0',
      'repository_practice{repository="team/app",practice="immutable_tags"} 1',
    ]);
  });

  test('a retention policy that Harbor cannot find is told, and is no failing capability', async () => {
    const { world, running } = await setupHarbor(estateOf({ 'team/app': [], 'other/app': [] }), {
      registry: { settingsInterval: '1ms', http: { retries: 0 } },
    });
    const rules = [{ scope_selectors: { repository: [{ decoration: 'repoMatches', pattern: '**' }] } }];
    Object.assign(world.projects[0] ?? {}, { retention: { cron: '0 0 0 * * *', rules } });
    Object.assign(world.projects[0] ?? {}, { retention_id: '99' });
    await running.poll();
    await running.poll();
    expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
    const told = running
      .log()
      .split('\n')
      .filter((line) => line.includes('level=warn'));
    expect(told).toEqual([expect.stringContaining('retention of a project could not be read')]);
  });
});

test("a word of Harbor's that is not known here is told once, and not at every poll", async () => {
  const odd = good(2, report({ scan_status: 'Quarantined', summary: null }));
  const { told } = await exposed(odd);
  expect(told.filter((line) => line.includes('Quarantined'))).toHaveLength(1);
});
