import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Content of registries, made in memory: https://github.com/opencontainers/image-spec/blob/main/manifest.md */

export interface Blob {
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface Content {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** Blobs that the manifest names, its config first. */
  readonly blobs: readonly Blob[];
  /** Manifests that an index lists. */
  readonly children: readonly Content[];
  /** Of a manifest: itself, its config and its layers, as stored. */
  readonly sizeBytes: number;
  readonly artifactType?: string;
  readonly subject?: string;
}

export const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  empty: 'application/vnd.oci.empty.v1+json',
} as const;

export const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
export const blob = (bytes: Buffer | string): Blob => {
  const buffer = Buffer.from(bytes as string);
  return { digest: digestOf(buffer), bytes: buffer };
};
export const descriptor = (
  mediaType: string,
  { digest, bytes }: { digest: string; bytes: Buffer },
  more: object = {},
) => ({
  mediaType,
  digest,
  size: bytes.length,
  ...more,
});

/** A manifest or an index as it is written, whatever it says. */
export function manifestOf(
  document: object,
  mediaType: string,
  blobs: readonly Blob[],
  more: Partial<Content> = {},
): Content {
  const bytes = Buffer.from(JSON.stringify(document));
  // A blob that a manifest names twice is stored once.
  const unique = new Map(blobs.map((one) => [one.digest, one.bytes.length]));
  let sizeBytes = bytes.length;
  for (const size of unique.values()) sizeBytes += size;
  return { digest: digestOf(bytes), mediaType, bytes, blobs, children: [], sizeBytes, ...more };
}

/** A layer of so many bytes; the same seed gives the same layer. */
export function layer(seed: string, size = 100): Buffer {
  const pieces: Buffer[] = [];
  for (let length = 0, turn = 0; length < size; turn += 1) {
    const piece = createHash('sha256').update(`${seed}/${turn}`).digest();
    pieces.push(piece);
    length += piece.length;
  }
  return Buffer.concat(pieces).subarray(0, size);
}

export interface ImageSpec {
  readonly layers: readonly Buffer[];
  /** Unix seconds. */
  readonly created?: number;
  readonly env?: readonly string[];
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly docker?: boolean;
}

/** An image of one platform. */
export function image(spec: ImageSpec): Content {
  const { os, architecture } = spec.platform ?? { os: 'linux', architecture: 'amd64' };
  const config = blob(
    JSON.stringify({
      architecture,
      os,
      ...(spec.created !== undefined && { created: new Date(spec.created * 1000).toISOString() }),
      config: { Env: spec.env ?? ['PATH=/usr/bin'] },
      rootfs: { type: 'layers', diff_ids: spec.layers.map(digestOf) },
    }),
  );
  const layers = spec.layers.map(blob);
  const mediaType = spec.docker ? mediaTypes.dockerManifest : mediaTypes.manifest;
  return manifestOf(
    {
      schemaVersion: 2,
      mediaType,
      config: descriptor(spec.docker ? mediaTypes.dockerConfig : mediaTypes.config, config),
      layers: layers.map((one) =>
        descriptor(spec.docker ? 'application/vnd.docker.image.rootfs.diff.tar.gzip' : mediaTypes.layer, one),
      ),
    },
    mediaType,
    [config, ...layers],
  );
}

export interface IndexEntry {
  readonly content: Content;
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A multi-platform image. */
export function index(entries: readonly IndexEntry[], docker = false): Content {
  const mediaType = docker ? mediaTypes.dockerList : mediaTypes.index;
  const document = {
    schemaVersion: 2,
    mediaType,
    manifests: entries.map(({ content, platform, annotations }) =>
      descriptor(content.mediaType, content, {
        platform: platform ?? { os: 'linux', architecture: 'amd64' },
        ...(annotations && { annotations }),
      }),
    ),
  };
  return manifestOf(document, mediaType, [], { children: entries.map(({ content }) => content) });
}

/** An entry for a BuildKit attestation of another entry. */
export function attestationEntry(subject: Content): IndexEntry {
  const statement = blob(
    JSON.stringify({ predicateType: 'https://slsa.dev/provenance/v0.2', subject: subject.digest }),
  );
  const config = blob('{"architecture":"unknown","os":"unknown"}');
  const content = manifestOf(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: descriptor(mediaTypes.config, config),
      layers: [descriptor('application/vnd.in-toto+json', statement)],
    },
    mediaTypes.manifest,
    [config, statement],
  );
  return {
    content,
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': subject.digest,
    },
  };
}

/** A manifest attached to another one. */
export function artifact(spec: {
  readonly subject?: Content;
  readonly artifactType: string;
  readonly layers: readonly {
    readonly mediaType: string;
    readonly bytes: Buffer | string;
    readonly annotations?: object;
  }[];
  readonly annotations?: Readonly<Record<string, string>>;
}): Content {
  const config = blob('{}');
  const layers = spec.layers.map((one) => blob(one.bytes));
  return manifestOf(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: spec.artifactType,
      config: descriptor(mediaTypes.empty, config),
      layers: layers.map((one, at) =>
        descriptor(
          spec.layers[at]?.mediaType ?? '',
          one,
          spec.layers[at]?.annotations ? { annotations: spec.layers[at]?.annotations } : {},
        ),
      ),
      ...(spec.subject && { subject: descriptor(spec.subject.mediaType, spec.subject) }),
      ...(spec.annotations && { annotations: spec.annotations }),
    },
    mediaTypes.manifest,
    [config, ...layers],
    { artifactType: spec.artifactType, ...(spec.subject && { subject: spec.subject.digest }) },
  );
}

/**
 * The referrers tag schema: where a registry has no referrers API, clients keep an index of what is attached under
 * the tag `sha256-<hex>`, https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema
 */
export function referrersIndex(attached: readonly Content[]): Content {
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: attached.map((one) =>
      descriptor(one.mediaType, one, { ...(one.artifactType && { artifactType: one.artifactType }) }),
    ),
  };
  return manifestOf(document, mediaTypes.index, [], { children: attached });
}

export const notationSignature = (subject: Content): Content =>
  artifact({
    subject,
    artifactType: 'application/vnd.cncf.notary.signature',
    layers: [{ mediaType: 'application/jose+json', bytes: JSON.stringify({ payload: subject.digest }) }],
  });

export const sbom = (subject: Content): Content =>
  artifact({
    subject,
    artifactType: 'application/spdx+json',
    layers: [
      {
        mediaType: 'application/spdx+json',
        bytes: JSON.stringify({ spdxVersion: 'SPDX-2.3', name: subject.digest }),
      },
    ],
  });

/** What cosign 2 stores under the tag `sha256-<hex>.sig`. */
export const cosignSignature = (subject: Content): Content =>
  artifact({
    artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
    layers: [
      {
        mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
        bytes: JSON.stringify({ critical: { image: { 'docker-manifest-digest': subject.digest } } }),
        annotations: { 'dev.cosignproject.cosign/signature': 'MEUCIQ==' },
      },
    ],
  });

type Counts = Readonly<Partial<Record<'CRITICAL' | 'HIGH' | 'MEDIUM' | 'LOW', number>>>;
const score = { CRITICAL: '9.8', HIGH: '7.5', MEDIUM: '5.0', LOW: '2.1' } as const;

/** A report in SARIF as scanners attach it: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html */
export function sarif(subject: Content, counts: Counts, created?: number): Content {
  const rules: object[] = [];
  const results: object[] = [];
  for (const [severity, count = 0] of Object.entries(counts))
    for (let number = 0; number < count; number += 1) {
      const id = `CVE-2026-${severity}-${number}`;
      rules.push({
        id,
        properties: {
          'security-severity': score[severity as keyof typeof score],
          tags: ['vulnerability', 'security', severity],
        },
      });
      results.push({ ruleId: id, ruleIndex: rules.length - 1, level: 'error', message: { text: id } });
    }
  const report = { version: '2.1.0', runs: [{ tool: { driver: { name: 'Trivy', rules } }, results }] };
  return artifact({
    subject,
    artifactType: 'application/sarif+json',
    layers: [{ mediaType: 'application/sarif+json', bytes: JSON.stringify(report) }],
    ...(created !== undefined && {
      annotations: { 'org.opencontainers.image.created': new Date(created * 1000).toISOString() },
    }),
  });
}

/** A cosign `vuln` attestation: in-toto in a DSSE envelope, with Trivy's JSON as the scanner's result. */
export function vulnAttestation(subject: Content, counts: Counts, fixable = 0): Content {
  let left = fixable;
  const vulnerabilities = Object.entries(counts).flatMap(([severity, count = 0]) =>
    Array.from({ length: count }, (_, number) => ({
      VulnerabilityID: `CVE-2026-${severity}-${number}`,
      Severity: severity,
      ...(left-- > 0 && { FixedVersion: '2.0' }),
    })),
  );
  const statement = {
    _type: 'https://in-toto.io/Statement/v0.1',
    predicateType: 'https://cosign.sigstore.dev/attestation/vuln/v1',
    subject: [{ digest: { sha256: subject.digest.slice(7) } }],
    predicate: {
      scanner: {
        uri: 'pkg:github/aquasecurity/trivy',
        result: { Results: [{ Target: 'app', Vulnerabilities: vulnerabilities }] },
      },
      metadata: { scanFinishedOn: '2026-11-20T10:00:00Z' },
    },
  };
  const envelope = {
    payloadType: 'application/vnd.in-toto+json',
    payload: Buffer.from(JSON.stringify(statement)).toString('base64'),
    signatures: [{ sig: 'MEUCIQ==' }],
  };
  return artifact({
    subject,
    artifactType: 'application/vnd.dsse.envelope.v1+json',
    layers: [
      {
        mediaType: 'application/vnd.dsse.envelope.v1+json',
        bytes: JSON.stringify(envelope),
        annotations: { predicateType: 'https://cosign.sigstore.dev/attestation/vuln/v1' },
      },
    ],
  });
}

/** Pushes content by the registry protocol, children first. */
export async function pushTo(
  registry: string,
  repository: string,
  content: Content,
  tag?: string,
): Promise<void> {
  const base = `${registry}/v2/${repository}`;
  for (const child of content.children) await pushTo(registry, repository, child);
  for (const { digest, bytes } of content.blobs) {
    const start = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
    if (start.status !== 202)
      throw new Error(`starting an upload answered ${start.status}: ${await start.text()}`);
    const location = new URL(start.headers.get('location') ?? '', `${base}/`);
    location.searchParams.set('digest', digest);
    const done = await fetch(location, {
      method: 'PUT',
      body: bytes,
      headers: { 'content-type': 'application/octet-stream' },
    });
    if (done.status !== 201) throw new Error(`an upload answered ${done.status}: ${await done.text()}`);
  }
  const put = await fetch(`${base}/manifests/${tag ?? content.digest}`, {
    method: 'PUT',
    body: content.bytes,
    headers: { 'content-type': content.mediaType },
  });
  if (put.status !== 201) throw new Error(`pushing a manifest answered ${put.status}: ${await put.text()}`);
}

/** Writes content as an OCI layout, for `skopeo copy oci:DIR:TAG`. */
export function writeOciLayout(folder: string, content: Content, tag: string): void {
  const blobs = join(folder, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const write = (one: Content): void => {
    for (const child of one.children) write(child);
    for (const { digest, bytes } of [...one.blobs, one]) writeFileSync(join(blobs, digest.slice(7)), bytes);
  };
  write(content);
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const entry = descriptor(content.mediaType, content, {
    annotations: { 'org.opencontainers.image.ref.name': tag },
  });
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
}
