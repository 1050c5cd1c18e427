import { afterEach, describe, expect, test } from 'vitest';
import { artifactRegistry } from '../../src/providers/artifact-registry.ts';
import type { RepositorySettings } from '../simulators/artifact-registry.ts';
import type { Occurrence } from '../simulators/container-analysis.ts';
import { digest, estateOf, type ProjectOptions, startProject } from '../support/artifact-registry.ts';
import { runLoop } from '../support/running-loop.ts';

/** What Google's answers mean: answer in, exposition out. Over both transports, which decode them differently. */

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function poll(
  options: ProjectOptions & {
    readonly settings?: Readonly<Record<string, RepositorySettings>>;
    /** More of the configuration. */
    readonly limits?: Readonly<Record<string, unknown>>;
  },
) {
  const project = await startProject(options);
  open.push(project);
  for (const [id, settings] of Object.entries(options.settings ?? {}))
    project.simulator.settings.set(id, settings);
  const running = await runLoop(artifactRegistry, { ...project.registry, ...options.limits });
  open.push({ close: () => running.stop() });
  await running.poll();
  return { project, running };
}

const app = { digest: digest('app'), tags: ['v1'] };

describe.each(['grpc', 'rest'] as const)('over %s', (transport) => {
  test('settings of a repository are practices of all its packages', async () => {
    const { running } = await poll({
      transport,
      estate: estateOf({
        'kept/app': [app],
        'kept/tools/cli': [{ ...app, tags: ['latest'] }],
        'loose/app': [app],
      }),
      settings: {
        kept: {
          immutableTags: true,
          cleanup: 'policies',
          scanning: 'SCANNING_ACTIVE',
          kmsKeyName: 'projects/p/locations/l/keyRings/r/cryptoKeys/k',
        },
        loose: { immutableTags: false, cleanup: 'dry run', scanning: 'SCANNING_DISABLED' },
      },
    });
    expect(await running.lines('repository_practice')).toEqual([
      'repository_practice{repository="kept/app",practice="scan_on_push"} 1',
      'repository_practice{repository="kept/app",practice="immutable_tags"} 1',
      'repository_practice{repository="kept/app",practice="retention_policy"} 1',
      'repository_practice{repository="kept/app",practice="no_latest_tag"} 1',
      'repository_practice{repository="kept/app",practice="customer_managed_key"} 1',
      'repository_practice{repository="kept/tools/cli",practice="scan_on_push"} 1',
      'repository_practice{repository="kept/tools/cli",practice="immutable_tags"} 1',
      'repository_practice{repository="kept/tools/cli",practice="retention_policy"} 1',
      'repository_practice{repository="kept/tools/cli",practice="no_latest_tag"} 0',
      'repository_practice{repository="kept/tools/cli",practice="customer_managed_key"} 1',
      'repository_practice{repository="loose/app",practice="scan_on_push"} 0',
      'repository_practice{repository="loose/app",practice="immutable_tags"} 0',
      'repository_practice{repository="loose/app",practice="retention_policy"} 0',
      'repository_practice{repository="loose/app",practice="no_latest_tag"} 1',
      'repository_practice{repository="loose/app",practice="customer_managed_key"} 0',
    ]);
  });

  test.each([
    ['SCANNING_UNSUPPORTED', ['0']],
    ['ENABLEMENT_STATE_UNSPECIFIED', []],
    [99, []],
  ] as const)('scanning that is %s', async (scanning, expected) => {
    const { running } = await poll({
      transport,
      estate: estateOf({ 'a/app': [app] }),
      settings: { a: { scanning } },
    });
    const lines = (await running.lines('repository_practice')).filter((line) =>
      line.includes('scan_on_push'),
    );
    expect(lines.map((line) => line.split(' ')[1])).toEqual(expected);
  });

  test('why images are not scanned is said once for each reason', async () => {
    const off = {
      scanning: 'SCANNING_DISABLED',
      scanningReason: 'API containerscanning.googleapis.com is not enabled.',
    };
    const { running } = await poll({
      transport,
      estate: estateOf({ 'a/app': [app], 'b/app': [app], 'c/app': [app] }),
      settings: { a: off, b: off, c: { scanning: 'SCANNING_DISABLED' } },
    });
    await running.poll();
    const said = running
      .log()
      .split('\n')
      .filter((line) => line.includes('Google does not scan'))
      .map((line) => line.replace(/^.*level=/, ''));
    expect(said).toHaveLength(2);
    expect(said[0]).toContain('reason="API containerscanning.googleapis.com is not enabled."');
    expect(said[1]).toContain('reason="no reason is given"');
    expect(said.every((line) => line.startsWith('info'))).toBe(true);
    expect(await running.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
  });

  test('virtual repositories are not counted twice; other formats are no images', async () => {
    const { project, running } = await poll({
      transport,
      estate: estateOf({
        'standard/app': [app],
        'remote/app': [app],
        'virtual/app': [app],
        'maven/app': [app],
      }),
      settings: {
        remote: { mode: 'REMOTE_REPOSITORY' },
        virtual: { mode: 'VIRTUAL_REPOSITORY' },
        maven: { format: 'MAVEN' },
      },
    });
    await running.poll();
    expect(await running.lines('repositories', 'repository_tags')).toEqual([
      'repositories{} 2',
      'repository_tags{repository="remote/app"} 1',
      'repository_tags{repository="standard/app"} 1',
    ]);
    // Tags of a cache move with those of its source.
    expect((await running.lines('repository_practice')).filter((line) => line.includes('immutable'))).toEqual(
      ['repository_practice{repository="standard/app",practice="immutable_tags"} 0'],
    );
    expect(running.log().match(/a virtual repository shows/g)).toHaveLength(1);
    expect(await running.value('storage_bytes')).toBe(
      project.simulator.billedBytes('standard') + project.simulator.billedBytes('remote'),
    );
  });

  test('a mode and a format that are not known yet', async () => {
    const { running } = await poll({
      transport,
      estate: estateOf({ 'a/app': [app], 'b/app': [app], 'c/app': [app] }),
      settings: { a: { mode: 99 }, b: { format: 99 }, c: { mode: 99 } },
    });
    await running.poll();
    expect(await running.lines('repository_tags')).toEqual([
      'repository_tags{repository="a/app"} 1',
      'repository_tags{repository="c/app"} 1',
    ]);
    expect(
      running.log().match(/level=warn msg="a repository has a mode that is not known here/g),
    ).toHaveLength(2);
  });

  test('what is no image: artifacts, tags that attach, attestations that an index lists', async () => {
    const hex = 'a'.repeat(64);
    const { running } = await poll({
      transport,
      estate: estateOf({
        'a/app': [
          {
            digest: digest('index'),
            kind: 'index',
            tags: ['v1', digest('index').replace(':', '-')],
            platforms: [digest('amd64'), digest('attestation')],
          },
          { digest: digest('amd64'), sizeBytes: 500 },
          // As buildx pushes it: an image to look at, for a platform that is unknown.
          { digest: digest('attestation'), architecture: 'unknown' as never, sizeBytes: 7 },
          { digest: digest('signature'), tags: [`sha256-${hex}.sig`] },
          { digest: digest('sbom'), kind: 'sbom' },
          { digest: digest('chart'), kind: 'chart', tags: ['1.0.0'] },
          { digest: digest('thing'), kind: 'other' },
          { digest: digest('referrers'), kind: 'index', tags: [`sha256-${hex}`], platforms: [] },
        ],
      }),
    });
    expect(
      await running.lines(
        'repository_images',
        'repository_artifacts',
        'repository_size_bytes',
        'repository_tags',
      ),
    ).toEqual([
      'repository_images{repository="a/app",state="tagged"} 1',
      'repository_images{repository="a/app",state="untagged"} 0',
      'repository_tags{repository="a/app"} 3',
      'repository_artifacts{repository="a/app",kind="platform"} 1',
      'repository_artifacts{repository="a/app",kind="signature"} 1',
      'repository_artifacts{repository="a/app",kind="sbom"} 1',
      'repository_artifacts{repository="a/app",kind="attestation"} 1',
      'repository_artifacts{repository="a/app",kind="chart"} 1',
      'repository_artifacts{repository="a/app",kind="other"} 2',
      'repository_size_bytes{repository="a/app"} 500',
    ]);
  });

  test('an index that does not say what it lists makes no untagged images of its platforms', async () => {
    const { running } = await poll({
      transport,
      estate: estateOf({
        'a/app': [
          { digest: digest('index'), kind: 'index', tags: ['v1'], platforms: [] },
          { digest: digest('amd64'), tags: [] },
          { digest: digest('arm64'), tags: [] },
        ],
      }),
    });
    expect(await running.value('repository_tags')).toBe(1);
    expect(
      await running.lines('repository_images', 'repository_artifacts', 'repository_vulnerable_images'),
    ).toEqual(['repository_images{repository="a/app",state="tagged"} 1']);
  });

  test('a size or time that is not said is unknown, not 0', async () => {
    const { running } = await poll({
      transport,
      estate: estateOf({ 'a/app': [{ ...app, sizeBytes: 0, pushedAt: 0 }] }),
    });
    expect(await running.value('repository_tags')).toBe(1);
    expect(
      await running.lines(
        'repository_size_bytes',
        'repository_last_push_timestamp_seconds',
        'image_size_bytes',
      ),
    ).toEqual([]);
  });

  describe('scans and findings', () => {
    const note = 'projects/goog-analysis/notes/PACKAGE_VULNERABILITY';
    const updateTime = { seconds: 1_790_005_000 };
    const discovery = (
      more: Record<string, unknown>,
      other: Partial<Occurrence> = {},
    ): Partial<Occurrence> => ({
      kind: 'DISCOVERY',
      noteName: note,
      updateTime,
      discovery: more,
      ...other,
    });
    const vulnerability = (
      effectiveSeverity: string | number,
      fixAvailable = false,
    ): Partial<Occurrence> => ({
      kind: 'VULNERABILITY',
      noteName: 'projects/goog-vulnz/notes/CVE-2026-1',
      updateTime,
      vulnerability: { effectiveSeverity, fixAvailable },
    });
    const scanned = (found: readonly Partial<Occurrence>[], more: Parameters<typeof poll>[0] = {}) =>
      poll({
        transport,
        estate: estateOf({ 'a/app': [app] }),
        occurrences: (prefix) =>
          found.map((one) => ({ resourceUri: `${prefix}a/app@${app.digest}`, ...one }) as Occurrence),
        ...more,
      });
    const families = [
      'repository_image_scans',
      'repository_findings',
      'image_scanned_timestamp_seconds',
    ] as const;
    const shown = async (found: readonly Partial<Occurrence>[]) => {
      const { running } = await scanned(found);
      const lines = await running.lines(...families);
      return lines
        .filter((line) => !(line.startsWith('repository_image_scans') && line.endsWith(' 0')))
        .map((line) => line.replace(/^repository_|repository="a\/app",|tag="v1",digest="[^"]*"/g, ''));
    };
    const clean = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'NEGLIGIBLE', 'UNKNOWN'].map(
      (severity) => `findings{severity="${severity}"} 0`,
    );

    test('without a word of a scan nothing is clean', async () => {
      expect(await shown([])).toEqual(['image_scans{status="none"} 1']);
    });

    test.each([
      ['PENDING', 'pending'],
      ['SCANNING', 'pending'],
      ['FINISHED_FAILED', 'failed'],
      ['FINISHED_UNSUPPORTED', 'unsupported'],
    ])('%s is %s, and nothing is clean', async (analysisStatus, status) => {
      expect(await shown([discovery({ analysisStatus })])).toEqual([`image_scans{status="${status}"} 1`]);
    });

    test.each(['FINISHED_SUCCESS', 'COMPLETE'])('%s without findings is clean', async (analysisStatus) => {
      expect(await shown([discovery({ analysisStatus, lastScanTime: { seconds: 1_790_004_000 } })])).toEqual([
        ...clean.map((line) => line),
        'image_scans{status="complete"} 1',
        'image_scanned_timestamp_seconds{} 1790004000',
      ]);
    });

    test('a scan that is no longer kept up to date is as old as the moment at which it was left alone', async () => {
      const done = { analysisStatus: 'FINISHED_SUCCESS', continuousAnalysis: 'INACTIVE' };
      expect((await shown([discovery(done)])).at(-1)).toBe('image_scanned_timestamp_seconds{} 1790005000');
      const dated = { ...done, lastScanTime: { seconds: 1_790_001_000 } };
      expect((await shown([discovery(dated)])).at(-1)).toBe('image_scanned_timestamp_seconds{} 1790001000');
      // What was never scanned was not scanned when it was left alone.
      const unsupported = { ...done, analysisStatus: 'FINISHED_UNSUPPORTED' };
      expect((await shown([discovery(unsupported)])).at(-1)).toBe('image_scans{status="unsupported"} 1');
      const current = { ...done, continuousAnalysis: 'ACTIVE' };
      expect((await shown([discovery(current)])).at(-1)).toBe('image_scans{status="complete"} 1');
    });

    test('a region that cannot be reached', async () => {
      const found = [discovery({ analysisStatus: 'FINISHED_SUCCESS' }), vulnerability('HIGH')];
      const elsewhere = await scanned(found, { unreachable: ['us-east1'] });
      expect(await elsewhere.running.lines('capability_up')).toContain(
        'capability_up{capability="findings"} 1',
      );
      expect((await elsewhere.running.lines('repository_findings')).length).toBe(6);
      const here = await scanned(found, { unreachable: ['us-east1', 'europe-west3'] });
      expect(await here.running.lines('capability_up')).toContain('capability_up{capability="findings"} 0');
      expect(await here.running.lines('repository_findings', 'repository_image_scans')).toEqual([]);
      expect(await here.running.value('repository_tags')).toBe(1);
    });

    test('findings that were put away leave no clean image', async () => {
      const archived = { analysisStatus: 'FINISHED_SUCCESS', archiveTime: { seconds: 4500 } };
      expect(await shown([discovery(archived)])).toEqual(['image_scans{status="none"} 1']);
    });

    test('a state that says nothing, and one that is not known yet, are no state', async () => {
      expect(await shown([discovery({ analysisStatus: 'ANALYSIS_STATUS_UNSPECIFIED' })])).toEqual([]);
      const { running } = await scanned([
        discovery({ analysisStatus: 99 }),
        discovery({ analysisStatus: 99 }),
      ]);
      await running.poll();
      expect(await running.lines('repository_image_scans', 'repository_findings')).toEqual([]);
      expect(
        running
          .log()
          .match(/level=warn msg="Container Analysis answered with a word that is not known here/g),
      ).toHaveLength(1);
    });

    test("Google's own scan counts before that of others", async () => {
      const other = { noteName: 'projects/vendor/notes/scanner', updateTime: { seconds: 1_790_009_000 } };
      const found = [
        discovery({ analysisStatus: 'FINISHED_FAILED' }, other),
        discovery({ analysisStatus: 'FINISHED_SUCCESS' }),
        discovery({ analysisStatus: 'PENDING' }, other),
      ];
      expect((await shown(found)).at(-1)).toBe('image_scans{status="complete"} 1');
    });

    test('every severity; those without a word are what the total has besides', async () => {
      const found = [
        discovery({ analysisStatus: 'FINISHED_SUCCESS' }),
        ...['CRITICAL', 'HIGH', 'HIGH', 'MEDIUM', 'LOW', 'MINIMAL', 'SEVERITY_UNSPECIFIED'].map((severity) =>
          vulnerability(severity, severity === 'HIGH'),
        ),
        vulnerability(99),
        vulnerability(99),
      ];
      const { running } = await scanned(found);
      expect(await running.lines('repository_findings', 'repository_fixable_findings')).toEqual([
        'repository_findings{repository="a/app",severity="CRITICAL"} 1',
        'repository_findings{repository="a/app",severity="HIGH"} 2',
        'repository_findings{repository="a/app",severity="MEDIUM"} 1',
        'repository_findings{repository="a/app",severity="LOW"} 1',
        'repository_findings{repository="a/app",severity="NEGLIGIBLE"} 1',
        'repository_findings{repository="a/app",severity="UNKNOWN"} 3',
        'repository_fixable_findings{repository="a/app",severity="CRITICAL"} 0',
        'repository_fixable_findings{repository="a/app",severity="HIGH"} 2',
        'repository_fixable_findings{repository="a/app",severity="MEDIUM"} 0',
        'repository_fixable_findings{repository="a/app",severity="LOW"} 0',
        'repository_fixable_findings{repository="a/app",severity="NEGLIGIBLE"} 0',
        'repository_fixable_findings{repository="a/app",severity="UNKNOWN"} 0',
      ]);
      expect(
        running
          .log()
          .match(/level=warn msg="Container Analysis answered with a word that is not known here/g),
      ).toHaveLength(1);
    });

    test('resources are found by their digest, however it is written', async () => {
      const dashed = `gcr.io/tests/app@${app.digest.replace(':', '-')}`;
      const found = [discovery({ analysisStatus: 'FINISHED_FAILED' })];
      const { running } = await scanned(
        found.map((one) => ({ ...one, resourceUri: `https://${dashed}` })),
        { estate: estateOf({ 'gcr.io/app': [app] }) },
      );
      // A repository that stands in for Container Registry, under the name that people know.
      expect(await running.lines('repository_image_scans')).toContain(
        'repository_image_scans{repository="gcr.io/app",status="failed"} 1',
      );
    });

    test('a summary that is too large for one answer is read finding by finding, page by page', async () => {
      const images = Array.from({ length: 12 }, (_, at) => ({ digest: digest(`${at}`), tags: [`v${at}`] }));
      const words = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'MINIMAL'];
      const { running } = await scanned([], {
        estate: estateOf({ 'a/app': images }),
        pageSize: 2,
        occurrences: (prefix) =>
          images.flatMap((image) =>
            [discovery({ analysisStatus: 'COMPLETE' }), ...words.map((word) => vulnerability(word))].map(
              (one) => ({ resourceUri: `${prefix}a/app@${image.digest}`, ...one }) as Occurrence,
            ),
          ),
        limits: { http: { maxBytes: 3000 } },
      });
      expect(await running.lines('repository_vulnerable_images')).toEqual([
        'repository_vulnerable_images{repository="a/app",severity="CRITICAL"} 12',
        'repository_vulnerable_images{repository="a/app",severity="HIGH"} 12',
        'repository_vulnerable_images{repository="a/app",severity="MEDIUM"} 12',
        'repository_vulnerable_images{repository="a/app",severity="LOW"} 12',
        'repository_vulnerable_images{repository="a/app",severity="NEGLIGIBLE"} 12',
        'repository_vulnerable_images{repository="a/app",severity="UNKNOWN"} 0',
      ]);
      expect((await running.requests())['GetVulnerabilityOccurrencesSummary too_large']).toBe(1);
    });

    test('a summary that the server does not give is read finding by finding', async () => {
      const found = [
        discovery({ analysisStatus: 'FINISHED_SUCCESS' }),
        ...['CRITICAL', 'CRITICAL', 'MINIMAL', 'SEVERITY_UNSPECIFIED'].map((one) => vulnerability(one, true)),
      ];
      const { project, running } = await scanned(found);
      const before = await running.lines('repository_findings', 'repository_fixable_findings');
      expect(before).toContain('repository_findings{repository="a/app",severity="CRITICAL"} 2');
      project.simulator.faults.push({
        fault: { type: 'status', status: 501 },
        operation: 'GetVulnerabilityOccurrencesSummary',
      });
      await running.poll();
      expect(await running.lines('repository_findings', 'repository_fixable_findings')).toEqual(before);
      expect(await running.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
    });
  });
});
