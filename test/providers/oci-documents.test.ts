import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import * as configs from '../../src/images/config.ts';
import { blobId, matchesDigest } from '../../src/images/digest.ts';
import * as manifests from '../../src/images/manifest.ts';
import * as reports from '../../src/images/report.ts';

const { sizeOf } = manifests;
const { looksSecret } = configs;
const parseManifest = (body: Buffer) => manifests.parseManifest({ body });
const parseConfig = (body: Buffer) => configs.parseConfig({ body });
async function parseReport(form: manifests.ReportForm, body: Buffer): Promise<reports.Report> {
  const report = await reports.parseReport(form, { body });
  if (!report) throw new Error('no report of vulnerabilities');
  return report;
}

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const digestOf = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const part = (mediaType: string, size: number, name: string, annotations?: Record<string, string>) => ({
  mediaType,
  size,
  digest: digestOf(name),
  ...(annotations && { annotations }),
});
const imageConfig = 'application/vnd.oci.image.config.v1+json';
const layer = 'application/vnd.oci.image.layer.v1.tar+gzip';
const manifest = (config: string, layers: object[], more: object = {}) =>
  bytes({ schemaVersion: 2, config: part(config, 10, 'config'), layers, ...more });

describe('a manifest', () => {
  it('is an image of its own bytes, its config and its layers, a repeated layer once', () => {
    const body = manifest(imageConfig, [part(layer, 100, 'a'), part(layer, 200, 'b'), part(layer, 100, 'a')]);
    const record = parseManifest(body);
    expect(record.kind).toBe('image');
    expect(record.config).toBe(digestOf('config'));
    expect(sizeOf(record)).toBe(body.length + 10 + 100 + 200);
  });

  it('does not count layers that stay on their vendor’s servers', () => {
    const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
    const body = manifest('application/vnd.docker.container.image.v1+json', [part(foreign, 9e9, 'windows')]);
    expect(sizeOf(parseManifest(body))).toBe(body.length + 10);
  });

  const empty = 'application/vnd.oci.empty.v1+json';
  it.each([
    ['a Helm chart', manifest('application/vnd.cncf.helm.config.v1+json', []), 'chart'],
    ['a notation signature', manifest('application/vnd.cncf.notary.signature', []), 'signature'],
    [
      'a cosign signature, whose config claims an image',
      manifest(imageConfig, [part('application/vnd.dev.cosign.simplesigning.v1+json', 1, 's')]),
      'signature',
    ],
    [
      'a cosign 3 signature bundle',
      manifest(empty, [], {
        artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
        annotations: { 'dev.sigstore.bundle.content': 'message-signature' },
      }),
      'signature',
    ],
    ['an SPDX SBOM', manifest(empty, [], { artifactType: 'application/spdx+json' }), 'sbom'],
    ['a CycloneDX SBOM', manifest(empty, [], { artifactType: 'application/vnd.cyclonedx+json' }), 'sbom'],
    ['a SARIF report', manifest(empty, [], { artifactType: 'application/sarif+json' }), 'attestation'],
    [
      'a buildkit attestation',
      manifest(imageConfig, [part('application/vnd.in-toto+json', 1, 'x')]),
      'attestation',
    ],
    ['a WebAssembly module', manifest('application/vnd.wasm.config.v0+json', []), 'other'],
    ['a schema 1 manifest', bytes({ schemaVersion: 1, fsLayers: [], history: [] }), 'other'],
    ['an index', bytes({ schemaVersion: 2, manifests: [] }), 'index'],
  ])('%s', (_name, body, kind) => {
    expect(parseManifest(body).kind).toBe(kind);
  });

  it('is an error when it is none of them', () => {
    expect(() => parseManifest(bytes({}))).toThrow();
    expect(() => parseManifest(Buffer.from('<html>'))).toThrow();
  });

  it('is verified against its digest', async () => {
    expect(await matchesDigest(Buffer.from('a'), digestOf('a'))).toBe(true);
    expect(await matchesDigest(Buffer.from('b'), digestOf('a'))).toBe(false);
    expect(await matchesDigest(Buffer.from('a'), 'md5:0cc175b9c0f1b6a831c399e269772661')).toBeUndefined();
    expect(blobId(digestOf('a'))).not.toBe(blobId(digestOf('b')));
  });
});

describe('an image’s configuration', () => {
  it('tells when it was made, unless the build was reproducible', () => {
    expect(parseConfig(bytes({ created: '2026-01-02T03:04:05.6Z' })).createdAt).toBe(1767323045.6);
    expect(parseConfig(bytes({ created: '1970-01-01T00:00:01Z' })).createdAt).toBeUndefined();
    expect(parseConfig(bytes({ created: '1980-01-01T00:00:01Z' })).createdAt).toBeUndefined();
    expect(parseConfig(bytes({})).createdAt).toBeUndefined();
  });

  it.each([
    ['DB_PASSWORD', 'hunter2', true],
    ['AWS_SECRET_ACCESS_KEY', 'wJalrXUtnFEMI', true],
    ['npmToken', 'npm_abc', true],
    ['DB_PASSWORD', '', false],
    ['DB_PASSWORD', '$PASSWORD', false],
    ['DB_PASSWORD', 'changeme', false],
    ['DB_PASSWORD_FILE', '/run/secrets/db', false],
    ['TOKENIZERS_PARALLELISM', 'false', false],
    ['GPG_KEY', 'A035C8C19219BA821ECEA86B64E628F8D684696D', false],
    ['PATH', '/usr/bin', false],
  ])('%s=%s looks like a secret: %s', (name, value, wanted) => {
    expect(looksSecret(name, value)).toBe(wanted);
  });

  it('counts what looks like a secret in variables, labels and build steps, and remembers no value', () => {
    const record = parseConfig(
      bytes({
        config: { Env: ['PATH=/bin', 'API_KEY=abcdef'], Labels: { 'deploy.token': 't0ps3cret' } },
        history: [{ created_by: '|1 NPM_TOKEN=npm_12345 /bin/sh -c npm ci' }, { created_by: 'COPY . .' }],
      }),
    );
    expect(record).toEqual({ secrets: 3 });
  });
});

describe('an attached report', () => {
  it('in SARIF is rated by the scanner’s word, then by score, then by level; what is suppressed is not counted', async () => {
    const report = await parseReport(
      'sarif',
      bytes({
        version: '2.1.0',
        runs: [
          {
            tool: {
              driver: {
                name: 'Trivy',
                rules: [
                  { id: 'A', properties: { 'security-severity': '9.8', tags: ['HIGH'] } },
                  { id: 'B', properties: { 'security-severity': '7.0' } },
                  { id: 'C', properties: { 'security-severity': '4.0' } },
                  { id: 'D', properties: { 'security-severity': '0.1' } },
                  { id: 'E', properties: { tags: ['vulnerability', 'CRITICAL'] } },
                  { id: 'F' },
                ],
              },
            },
            invocations: [{ endTimeUtc: '2026-01-01T00:00:00Z' }],
            results: [
              { ruleId: 'A', level: 'error' },
              { ruleIndex: 1, level: 'error' },
              { ruleId: 'C', level: 'note' },
              { ruleId: 'D', level: 'note' },
              { ruleId: 'E', level: 'note' },
              { ruleId: 'F' },
              { ruleId: 'A', suppressions: [{ kind: 'external' }] },
              { ruleId: 'A', kind: 'pass' },
            ],
          },
        ],
      }),
    );
    expect(report.findings.counts).toEqual({
      CRITICAL: 1,
      HIGH: 2,
      MEDIUM: 2,
      LOW: 1,
      NEGLIGIBLE: 0,
      UNKNOWN: 0,
    });
    expect(report.findings.fixable).toBeUndefined();
    expect(report.scannedAt).toBe(1767225600);
  });

  const trivy = {
    Results: [
      {
        Vulnerabilities: [
          { Severity: 'CRITICAL', FixedVersion: '1.2.3' },
          { Severity: 'HIGH' },
          { Severity: 'UNKNOWN', FixedVersion: '' },
        ],
      },
      { Target: 'clean' },
    ],
  };
  const statement = (result: unknown) => ({
    _type: 'https://in-toto.io/Statement/v0.1',
    predicate: { scanner: { uri: 'x', result }, metadata: { scanFinishedOn: '2026-01-01T00:00:00Z' } },
  });
  const envelope = (json: unknown) => ({
    payloadType: 'application/vnd.in-toto+json',
    payload: bytes(json).toString('base64'),
    signatures: [],
  });
  it.each([
    ['a bare statement', statement(trivy)],
    ['a DSSE envelope', envelope(statement(trivy))],
    ['a sigstore bundle', { dsseEnvelope: envelope(statement(trivy)) }],
  ])('of cosign in %s is read as the scanner wrote it', async (_name, json) => {
    const { findings, scannedAt } = await parseReport('statement', bytes(json));
    expect(findings.counts).toMatchObject({ CRITICAL: 1, HIGH: 1, UNKNOWN: 1, LOW: 0 });
    expect(findings.fixable).toMatchObject({ CRITICAL: 1, HIGH: 0 });
    expect(scannedAt).toBe(1767225600);
  });

  it('of cosign may hold Grype’s own form, or in-toto’s list of ratings', async () => {
    const grype = {
      matches: [
        { vulnerability: { severity: 'High', fix: { state: 'fixed' } } },
        { vulnerability: { severity: 'Negligible', fix: { state: 'wont-fix' } } },
      ],
    };
    const ofGrype = (await parseReport('statement', bytes(statement(grype)))).findings;
    expect(ofGrype.counts).toMatchObject({ HIGH: 1, NEGLIGIBLE: 1 });
    expect(ofGrype.fixable).toMatchObject({ HIGH: 1, NEGLIGIBLE: 0 });
    const ratings = [{ id: 'CVE', severity: [{ method: 'nvd', score: '9.1' }] }];
    expect((await parseReport('statement', bytes(statement(ratings)))).findings.counts).toMatchObject({
      CRITICAL: 1,
    });
  });

  it('without its list is an error, and not a clean image', async () => {
    await expect(parseReport('sarif', bytes({}))).rejects.toThrow();
    await expect(parseReport('statement', bytes(statement({})))).rejects.toThrow();
    await expect(parseReport('statement', bytes({}))).rejects.toThrow();
  });
});
