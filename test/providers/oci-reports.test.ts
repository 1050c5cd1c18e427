import { describe, expect, test } from 'vitest';
import { parseReport } from '../../src/images/report.ts';
import type { Severity } from '../../src/model.ts';

/** Reports as scanners write them: severities, what is no vulnerability, and what is no report. */
const bytes = (value: unknown) => ({ body: Buffer.from(JSON.stringify(value)) });
const sarif = async (run: object) => parseReport('sarif', bytes({ version: '2.1.0', runs: [run] }));
const statement = async (result: unknown) =>
  parseReport('statement', bytes({ predicate: { scanner: { uri: 'x', result } } }));
type Counts = Partial<Record<Severity, number>>;
const counted = (counts: Counts) => ({
  CRITICAL: 0,
  HIGH: 0,
  MEDIUM: 0,
  LOW: 0,
  NEGLIGIBLE: 0,
  UNKNOWN: 0,
  ...counts,
});

/** A rule and a result as of https://github.com/aquasecurity/trivy/blob/v0.58.0/pkg/report/sarif.go */
function trivy(kind: string, id: string, severity: string, score: string) {
  const names: Record<string, string> = {
    vulnerability: 'OsPackageVulnerability',
    secret: 'Secret',
    misconfiguration: 'Misconfiguration',
    license: 'License',
  };
  const level = { CRITICAL: 'error', HIGH: 'error', MEDIUM: 'warning', LOW: 'note', UNKNOWN: 'note' }[
    severity
  ];
  return {
    rule: {
      id,
      name: names[kind],
      defaultConfiguration: { level },
      help: { text: `Vulnerability ${id}\nSeverity: ${severity}\nPackage: a\nFixed Version: 2\nLink: x\n` },
      properties: { precision: 'very-high', 'security-severity': score, tags: [kind, 'security', severity] },
    },
    result: {
      ruleId: id,
      level,
      message: {
        text: `Package: a\nInstalled Version: 1\nVulnerability ${id}\nSeverity: ${severity}\nFixed Version: 2`,
      },
    },
  };
}
function trivyRun(...found: ReturnType<typeof trivy>[]) {
  const rules = [...new Map(found.map(({ rule }) => [rule.id, rule])).values()];
  return {
    tool: { driver: { name: 'Trivy', rules } },
    results: found.map(({ result }) => ({
      ...result,
      ruleIndex: rules.findIndex(({ id }) => id === result.ruleId),
    })),
  };
}

describe('SARIF of Trivy', () => {
  test("has the distribution's severity in words, and somebody else's score", async () => {
    const report = await sarif(
      trivyRun(
        trivy('vulnerability', 'CVE-1', 'MEDIUM', '7.5'),
        trivy('vulnerability', 'CVE-2', 'LOW', '9.8'),
        trivy('vulnerability', 'CVE-3', 'CRITICAL', '5.5'),
      ),
    );
    expect(report?.findings.counts).toEqual(counted({ MEDIUM: 1, LOW: 1, CRITICAL: 1 }));
  });
  test('calls UNKNOWN what nobody rated: it is not LOW', async () => {
    const report = await sarif(trivyRun(trivy('vulnerability', 'CVE-1', 'UNKNOWN', '0.0')));
    expect(report?.findings.counts).toEqual(counted({ UNKNOWN: 1 }));
  });
  test('rates one CVE anew in each package, while its rule has the rating of the last', async () => {
    const report = await sarif(
      trivyRun(trivy('vulnerability', 'CVE-1', 'LOW', '2.0'), trivy('vulnerability', 'CVE-1', 'HIGH', '8.0')),
    );
    expect(report?.findings.counts).toEqual(counted({ LOW: 1, HIGH: 1 }));
  });
  test('holds secrets, misconfigurations and licences, which are no vulnerabilities', async () => {
    const report = await sarif(
      trivyRun(
        trivy('secret', 'aws-access-key-id', 'CRITICAL', '9.5'),
        trivy('misconfiguration', 'DS002', 'HIGH', '8.0'),
        trivy('license', 'a:GPL-3.0', 'HIGH', '8.0'),
        trivy('vulnerability', 'CVE-1', 'HIGH', '8.0'),
      ),
    );
    expect(report?.findings.counts).toEqual(counted({ HIGH: 1 }));
  });
  test('of an image without findings has neither rules nor results', async () => {
    expect((await sarif(trivyRun()))?.findings.counts).toEqual(counted({}));
    const without = await sarif({ tool: { driver: { name: 'Trivy' } }, results: null });
    expect(without?.findings.counts).toEqual(counted({}));
  });
});

describe('SARIF of other scanners', () => {
  test('Grype writes its severity into the help of the rule', async () => {
    const rule = (id: string, severity: string, score: string) => ({
      id,
      shortDescription: { text: `${id} ${severity} vulnerability for a package` },
      help: {
        text: `Vulnerability ${id}\nSeverity: ${severity}\nPackage: a\nVersion: 1\nFix Version: \nType: deb`,
      },
      properties: { 'security-severity': score },
    });
    const rules = [
      rule('CVE-1-a', 'low', '4.0'),
      rule('CVE-2-b', 'critical', '1.0'),
      rule('CVE-3-c', 'negligible', '0.0'),
    ];
    const report = await sarif({
      tool: { driver: { name: 'grype', rules } },
      results: rules.map(({ id }) => ({ ruleId: id, message: { text: 'The path …' } })),
    });
    expect(report?.findings.counts).toEqual(counted({ LOW: 1, CRITICAL: 1, NEGLIGIBLE: 1 }));
  });
  test('Snyk and Clair write it into the text', async () => {
    const snyk = await sarif({
      tool: {
        driver: {
          name: 'Snyk Container',
          rules: [
            {
              id: 'SNYK-DEBIAN12-X-1',
              shortDescription: { text: 'Low severity - Out-of-bounds Write vulnerability in x' },
              properties: { tags: ['security', 'CWE-787', 'deb'], 'security-severity': '9.8' },
            },
          ],
        },
      },
      results: [{ ruleId: 'SNYK-DEBIAN12-X-1', level: 'note' }],
    });
    expect(snyk?.findings.counts).toEqual(counted({ LOW: 1 }));
    const clair = await sarif({
      tool: { driver: { name: 'Clair V4' } },
      results: [{ ruleId: 'CVE-1', level: 'error', message: { text: '[openssl - 3.0.1-r0 - Medium] "…"' } }],
    });
    expect(clair?.findings.counts).toEqual(counted({ MEDIUM: 1 }));
  });
  test('where no word rates a finding, its score does, then its level, then the level of its rule', async () => {
    const report = await sarif({
      tool: {
        driver: {
          name: 'scanner',
          rules: [
            { id: 'A', properties: { 'security-severity': 9.1 } },
            { id: 'B' },
            { id: 'C', defaultConfiguration: { level: 'note' } },
            { id: 'D', properties: { 'security-severity': '' } },
          ],
        },
      },
      results: [
        { ruleId: 'A', level: 'note' },
        { ruleId: 'B', level: 'error' },
        { ruleId: 'C' },
        { ruleId: 'D' },
        { ruleId: 'E', level: 'none' },
      ],
    });
    expect(report?.findings.counts).toEqual(counted({ CRITICAL: 1, HIGH: 1, LOW: 1, MEDIUM: 1, UNKNOWN: 1 }));
  });
  test.each<[string, object]>([
    ['a rule', { rules: [null] }],
    ['the properties of a rule', { rules: [{ id: 'A', properties: 'HIGH' }] }],
    ['its tags', { rules: [{ id: 'A', properties: { tags: 'HIGH' } }] }],
    ['its score', { rules: [{ id: 'A', properties: { 'security-severity': {} } }] }],
    ['a result', { results: [null] }],
    ['a result that says nothing', { results: [{}] }],
    ['its level', { results: [{ ruleId: 'A', level: 7 }] }],
  ])('%s that cannot be understood makes the report none: a count would be wrong', async (_title, odd) => {
    const { rules = [], results = [] } = odd as { rules?: unknown[]; results?: unknown[] };
    await expect(sarif({ tool: { driver: { name: 'scanner', rules } }, results })).rejects.toThrow();
  });
  test.each(['dockle', 'hadolint', 'gitleaks', 'checkov'])(
    '%s says nothing of vulnerabilities',
    async (name) => {
      const run = {
        tool: { driver: { name, rules: [] } },
        results: [{ ruleId: 'CIS-DI-0001', level: 'error' }],
      };
      expect(await sarif(run)).toBeUndefined();
    },
  );
});

describe('a report within an attestation', () => {
  test('of Trivy without Results is one of a clean image', async () => {
    const clean = {
      SchemaVersion: 2,
      ArtifactName: 'scratch',
      ArtifactType: 'container_image',
      Metadata: {},
    };
    expect((await statement(clean))?.findings).toEqual({ counts: counted({}), fixable: counted({}) });
    expect((await statement({ ...clean, Results: null }))?.findings.counts).toEqual(counted({}));
    expect(
      (await statement({ ...clean, Results: [{ Target: 'x', Class: 'secret' }] }))?.findings.counts,
    ).toEqual(counted({}));
  });
  test('of Grype without matches is one too', async () => {
    expect((await statement({ matches: null, source: {} }))?.findings.counts).toEqual(counted({}));
    expect((await statement({ matches: [] }))?.findings.counts).toEqual(counted({}));
  });
  test('that rates by several methods counts by a word before a score', async () => {
    const ratings = [
      {
        id: 'CVE-1',
        severity: [
          { method: 'nvd', score: '9.8' },
          { method: 'vendor', score: 'low' },
        ],
      },
      { id: 'CVE-2', severity: [{ method: 'nvd', score: 7.1 }] },
      { id: 'CVE-3' },
    ];
    expect((await statement(ratings))?.findings.counts).toEqual(counted({ LOW: 1, HIGH: 1, UNKNOWN: 1 }));
  });
  test.each([[{}], [{ hello: 1 }], ['text'], [7], [null], [{ Results: 'none' }], [{ matches: {} }]])(
    '%j is none',
    async (result) => {
      await expect(statement(result)).rejects.toThrow();
    },
  );
  test.each([['2099-01-01T00:00:00Z'], ['yesterday'], [7], ['0001-01-01T00:00:00Z']])(
    'that was finished at %j has no time',
    async (scanFinishedOn) => {
      const report = await parseReport(
        'statement',
        bytes({ predicate: { scanner: { result: { matches: [] } }, metadata: { scanFinishedOn } } }),
      );
      expect(report).toEqual({ findings: { counts: counted({}), fixable: counted({}) } });
    },
  );
});
