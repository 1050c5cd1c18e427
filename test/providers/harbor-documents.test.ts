import { describe, expect, test } from 'vitest';
import { digestNumber, estateOf, setupHarbor } from '../support/harbor.ts';

/** What Harbor answers, and what is exposed for it. */

const digest = digestNumber(1);
const links = { build_history: { href: '/a' }, vulnerabilities: { href: '/b' } };

/** One artifact as Harbor lists it, with what a test is about. */
async function exposed(artifacts: readonly object[], ...families: string[]) {
  const { simulator, running } = await setupHarbor(estateOf({ 'team/app': [{ tags: ['v1'] }] }));
  const body = artifacts.map((artifact, number) => ({
    id: number + 1,
    type: 'IMAGE',
    media_type: 'application/vnd.oci.image.config.v1+json',
    manifest_media_type: 'application/vnd.oci.image.manifest.v1+json',
    repository_name: 'team/app',
    digest: digestNumber(number + 1),
    size: 100,
    push_time: '2026-11-01T00:00:00.000Z',
    pull_time: '0001-01-01T00:00:00.000Z',
    tags: [{ name: `v${number + 1}` }],
    references: null,
    accessories: null,
    labels: null,
    addition_links: links,
    ...artifact,
  }));
  simulator.faults.push({ fault: { type: 'body', body: JSON.stringify(body) }, operation: 'artifacts' });
  await running.poll();
  const lines = await running.lines(...families);
  return {
    lines: lines.map((line) =>
      line.replace('repository="team/app",', '').replace('repository="team/app"', ''),
    ),
    log: running.log(),
  };
}

const v11 = 'application/vnd.security.vulnerability.report; version=1.1';
const v10 = 'application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0';
const report = (given: object) => ({
  report_id: 'r',
  scan_status: 'Success',
  severity: 'High',
  duration: 3,
  start_time: '2026-11-02T00:00:00.000Z',
  end_time: '2026-11-02T00:01:00.000Z',
  complete_percent: 100,
  summary: { total: 3, fixable: 1, summary: { High: 2, Medium: 1 } },
  ...given,
});

describe('a scan overview', () => {
  const findings = [
    'repository_findings{severity="CRITICAL"} 0',
    'repository_findings{severity="HIGH"} 2',
    'repository_findings{severity="MEDIUM"} 1',
    'repository_findings{severity="LOW"} 0',
    'repository_findings{severity="NEGLIGIBLE"} 0',
    'repository_findings{severity="UNKNOWN"} 0',
    'repository_fixable_findings{severity=""} 1',
    `image_scanned_timestamp_seconds{tag="v1",digest="${digest}"} 1793577660`,
  ];
  test.each([
    ['of the newer type', { [v11]: report({}) }],
    ['of the older type', { [v10]: report({}) }],
    ['of both: the newer counts', { [v10]: report({ scan_status: 'Error' }), [v11]: report({}) }],
    ['of a type to come', { 'application/vnd.security.vulnerability.report; version=2.0': report({}) }],
  ])('%s', async (_title, scan_overview) => {
    const { lines } = await exposed(
      [{ scan_overview }],
      'repository_findings',
      'repository_fixable_findings',
      'image_scanned_timestamp_seconds',
    );
    expect(lines).toEqual(findings);
  });

  test.each([
    ['Success', 'complete'],
    ['Error', 'failed'],
    ['Running', 'pending'],
    ['Pending', 'pending'],
    ['Scheduled', 'pending'],
    ['Stopped', 'none'],
    ['Not Scanned', 'none'],
    ['Unsupported', 'unsupported'],
  ])('whose status is %s is %s', async (scan_status, status) => {
    const overview = { [v11]: report({ scan_status, ...(scan_status !== 'Success' && { summary: null }) }) };
    const { lines, log } = await exposed([{ scan_overview: overview }], 'repository_image_scans');
    expect(lines.filter((line) => !line.endsWith(' 0'))).toEqual([
      `repository_image_scans{status="${status}"} 1`,
    ]);
    expect(log).not.toContain('level=warn');
  });

  test('whose status is not known yet is unknown, with one warning', async () => {
    const scan_overview = { [v11]: report({ scan_status: 'Quarantined', summary: null }) };
    const { lines, log } = await exposed([{ scan_overview }, { scan_overview }], 'repository_image_scans');
    expect(lines).toEqual([]);
    expect(log.match(/Quarantined/g)).toHaveLength(1);
  });

  test('with words for severities: None and Negligible are one, unknown ones count as UNKNOWN', async () => {
    const summary = { Negligible: 2, None: 3, Unknown: 1, Catastrophic: 4 };
    const scan_overview = { [v11]: report({ summary: { total: 10, fixable: 0, summary } }) };
    const { lines, log } = await exposed([{ scan_overview }], 'repository_findings');
    expect(lines.filter((line) => !line.endsWith(' 0'))).toEqual([
      'repository_findings{severity="NEGLIGIBLE"} 5',
      'repository_findings{severity="UNKNOWN"} 5',
    ]);
    expect(log.match(/word=Catastrophic/g)).toHaveLength(1);
  });

  test.each([
    ['no summary', null, []],
    ['a summary that only gives a sum', { total: 3, fixable: 1 }, []],
    ['nothing found', { total: 0, fixable: 0, summary: {} }, ['repository_findings{severity="HIGH"} 0']],
    ['nothing found and no list', { total: 0, fixable: 0 }, ['repository_findings{severity="HIGH"} 0']],
  ])('that is complete with %s', async (_title, summary, wanted) => {
    const { lines } = await exposed(
      [{ scan_overview: { [v11]: report({ summary }) } }],
      'repository_findings',
    );
    expect(lines.filter((line) => line.includes('HIGH'))).toEqual(wanted);
  });

  test.each([
    ['that a scanner supports', { addition_links: links }, ['none']],
    ['that none supports', { addition_links: { build_history: { href: '/a' } } }, ['unsupported']],
    ['whose links are not told', { addition_links: null }, []],
  ])('that is missing, of an image %s', async (_title, artifact, wanted) => {
    const { lines } = await exposed([artifact], 'repository_image_scans');
    const counted = lines.filter((line) => !line.endsWith(' 0'));
    expect(counted).toEqual(wanted.map((status) => `repository_image_scans{status="${status}"} 1`));
  });
});

describe('scanners', () => {
  const estate = () => estateOf({ 'team/app': [{ tags: ['v1'], scan: { status: 'none' } }] });

  test.each(['v2.13.0-1', 'v2.9.0-1'])(
    'one that does not answer makes findings unknown, not unsupported (%s)',
    async (version) => {
      const { running } = await setupHarbor(estate(), {
        change: (world) => Object.assign(world, { version, scanners: [{ name: 'Trivy', up: false }] }),
      });
      await running.poll();
      expect(await running.lines('repository_image_scans')).toEqual([]);
      expect(await running.lines('component_up')).toContain('component_up{component="scanner Trivy"} 0');
      expect(await running.lines('capability_up')).toContain('capability_up{capability="findings"} 0');
      expect(running.log()).toContain('Harbor leaves out what its scans found');
    },
  );

  test('none installed: everything is unsupported, and findings are no capability', async () => {
    const { running } = await setupHarbor(estate(), { change: (world) => void world.scanners.pop() });
    await running.poll();
    expect(await running.lines('repository_image_scans')).toContain(
      'repository_image_scans{repository="team/app",status="unsupported"} 1',
    );
    expect((await running.lines('capability_up')).join()).not.toContain('findings');
    expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
  });

  test('a disabled one is not asked after', async () => {
    const { running } = await setupHarbor(estate(), {
      change: (world) => void world.scanners.push({ name: 'Old', up: false, disabled: true }),
    });
    await running.poll();
    expect((await running.lines('component_up')).join()).not.toContain('Old');
  });
});

describe('kinds', () => {
  const families = ['repository_images', 'repository_artifacts', 'repository_tags'];
  const hex = 'a'.repeat(64);
  const counted = async (artifact: object) =>
    (await exposed([artifact], ...families)).lines.filter((line) => !line.endsWith(' 0'));

  test.each([
    ['a Helm chart', { type: 'CHART', media_type: 'application/vnd.cncf.helm.config.v1+json' }, 'chart'],
    ['a chart by its type alone', { type: 'CHART', media_type: '' }, 'chart'],
    ['a CNAB bundle', { type: 'CNAB', media_type: 'application/vnd.cnab.manifest.v1' }, 'other'],
    ['a WASM module', { type: 'WASM', media_type: 'application/vnd.wasm.config.v1+json' }, 'other'],
    ['a model', { type: 'CNAI', media_type: 'application/vnd.cncf.model.config.v1+json' }, 'other'],
    ['an SBOM by itself', { type: 'SBOM', media_type: 'application/vnd.goharbor.harbor.sbom.v1' }, 'sbom'],
    ['an attestation by itself', { artifact_type: 'application/vnd.in-toto+json' }, 'attestation'],
    ['something of no type', { type: '', media_type: 'application/x' }, 'other'],
  ])('%s', async (_title, artifact, kind) => {
    expect(await counted(artifact)).toEqual([
      'repository_tags{} 1',
      `repository_artifacts{kind="${kind}"} 1`,
    ]);
  });

  test.each([
    ['sig', 'signature'],
    ['att', 'attestation'],
    ['sbom', 'sbom'],
  ])("cosign's tag .%s is no version of an image", async (suffix, kind) => {
    expect(await counted({ tags: [{ name: `sha256-${hex}.${suffix}` }] })).toEqual([
      `repository_artifacts{kind="${kind}"} 1`,
    ]);
  });

  test('a tag that is its own digest names an image', async () => {
    expect(await counted({ tags: [{ name: digest.replace(':', '-') }] })).toEqual([
      'repository_images{state="tagged"} 1',
      'repository_tags{} 1',
    ]);
  });

  test('an artifact without a tag is an untagged image', async () => {
    expect(await counted({ tags: null })).toEqual(['repository_images{state="untagged"} 1']);
  });
});

describe('accessories', () => {
  const accessory = (type: string, number = 50) => ({
    id: number,
    artifact_id: number,
    subject_artifact_digest: digest,
    digest: digestNumber(number),
    size: 7,
    type,
    creation_time: '2026-11-03T00:00:00.000Z',
  });

  test.each([
    ['signature.cosign', 'signature', 1],
    ['signature.notation', 'signature', 1],
    ['signature.of-tomorrow', 'signature', 1],
    ['sbom.harbor', 'sbom', 0],
    ['subject.accessory', 'other', 0],
    ['accelerator.nydus', 'other', 0],
  ])('%s', async (type, kind, signed) => {
    const { lines } = await exposed(
      [{ accessories: [accessory(type)] }],
      'repository_artifacts',
      'repository_signed_images',
      'repository_size_bytes',
      'image_signed',
    );
    expect(lines).toEqual([
      `repository_artifacts{kind="${kind}"} 1`,
      'repository_size_bytes{} 100',
      `repository_signed_images{} ${signed}`,
      `image_signed{tag="v1",digest="${digest}"} ${signed}`,
    ]);
  });

  test('that were not told leave it unknown whether an image is signed', async () => {
    const { lines } = await exposed([{ accessories: undefined }], 'repository_signed_images');
    expect(lines).toEqual([]);
  });
});

describe('a multi-platform image', () => {
  const index = (given: object = {}) => ({
    manifest_media_type: 'application/vnd.oci.image.index.v1+json',
    size: 777,
    references: [
      { child_digest: digestNumber(1), platform: { architecture: 'amd64', os: 'linux' } },
      { child_digest: digestNumber(2), platform: { architecture: 'unknown', os: 'unknown' } },
    ],
    ...given,
  });
  const part = { tags: null, size: 30 };
  const families = ['repository_images', 'repository_artifacts', 'repository_size_bytes'];

  test('is as large as its platforms; what buildx attests is no platform', async () => {
    const { lines } = await exposed([part, part, index({ tags: [{ name: 'v1' }] })], ...families);
    expect(lines).toEqual([
      'repository_images{state="tagged"} 1',
      'repository_images{state="untagged"} 0',
      'repository_artifacts{kind="platform"} 1',
      'repository_artifacts{kind="attestation"} 1',
      'repository_size_bytes{} 30',
    ]);
  });

  test("has Harbor's size and merged report where its platforms are not listed", async () => {
    const other = [{ child_digest: digestNumber(70), platform: { architecture: 'arm64', os: 'linux' } }];
    const scan_overview = { [v11]: report({}) };
    const { lines } = await exposed(
      [index({ references: other, scan_overview })],
      'repository_size_bytes',
      'repository_findings',
    );
    expect(lines).toContain('repository_size_bytes{} 777');
    expect(lines).toContain('repository_findings{severity="HIGH"} 2');
  });

  test('is not scanned as long as one platform is not, whatever Harbor merged', async () => {
    const scan_overview = { [v11]: report({}) };
    const failed = { [v11]: report({ scan_status: 'Error', summary: null }) };
    const references = [1, 2].map((number) => ({ child_digest: digestNumber(number), platform: null }));
    const { lines } = await exposed(
      [{ ...part, scan_overview }, { ...part, scan_overview: failed }, index({ references, scan_overview })],
      'repository_image_scans',
    );
    expect(lines.filter((line) => !line.endsWith(' 0'))).toEqual([
      'repository_image_scans{status="failed"} 1',
    ]);
  });

  test('is read without its platforms where the configuration says so', async () => {
    const amd = { digest: digestNumber(1), kind: 'platform', sizeBytes: 60 } as const;
    const multi = { digest: digestNumber(2), kind: 'index', tags: ['v1'], platforms: [amd.digest] } as const;
    const estate = estateOf({ 'team/app': [amd, { ...multi, tags: ['v1'] }] });
    for (const [platforms, size, artifacts] of [
      [true, 60, ['repository_artifacts{repository="team/app",kind="platform"} 1']],
      [false, 160, []],
    ] as const) {
      const { running } = await setupHarbor(estate, { registry: { platforms } });
      await running.poll();
      expect(await running.value('repository_size_bytes')).toBe(size);
      expect(await running.lines('repository_artifacts')).toEqual(artifacts);
    }
  });
});

test('times that never were are not there', async () => {
  const { lines } = await exposed(
    [{ push_time: '1970-01-01T00:00:00.000Z' }],
    'repository_last_push_timestamp_seconds',
    'repository_last_pull_timestamp_seconds',
  );
  expect(lines).toEqual([]);
});

test('an artifact that is no artifact breaks its project, with what is wrong', async () => {
  const { lines, log } = await exposed([{ digest: null }], 'repository_images');
  expect(lines).toEqual([]);
  expect(log).toContain('digest');
});
