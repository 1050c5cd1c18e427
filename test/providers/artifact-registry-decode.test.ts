import { createRequire } from 'node:module';
import fc from 'fast-check';
import gax from 'google-gax';
import { expect, test } from 'vitest';
import {
  dockerImagesPage,
  occurrencesPage,
  summaryRows,
} from '../../src/providers/artifact-registry/decode.ts';
import {
  dockerImageRow,
  occurrenceRow,
  summaryRow,
} from '../../src/providers/artifact-registry/json-rows.ts';
import { rootOf } from '../simulators/google-wire.ts';

/** What is read straight from the wire is what the SDK's own objects say, whatever the message. */

const require = createRequire(import.meta.url);
const messages = {
  images: rootOf(require('@google-cloud/artifact-registry/build/protos/protos.json') as object).lookupType(
    'google.devtools.artifactregistry.v1.ListDockerImagesResponse',
  ),
  summary: rootOf(require('@google-cloud/containeranalysis/build/protos/protos.json') as object).lookupType(
    'google.devtools.containeranalysis.v1.VulnerabilityOccurrencesSummary',
  ),
  occurrences: rootOf(require('@google-cloud/grafeas/build/protos/protos.json') as object).lookupType(
    'grafeas.v1.ListOccurrencesResponse',
  ),
};
const reader = (bytes: Uint8Array) => gax.protobuf.Reader.create(Buffer.from(bytes));
/** As the SDK makes them. */
const sdk = (type: (typeof messages)[keyof typeof messages], bytes: Uint8Array) =>
  type.toObject(type.decode(bytes), { longs: String, enums: String, defaults: true, oneofs: true }) as Record<
    string,
    never[]
  >;

const timestamp = fc.record({ seconds: fc.integer({ min: 0, max: 4e9 }), nanos: fc.nat(999_999_999) });
const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });
const digest = fc.oneof(
  hex(64).map((text) => `sha256:${text}`),
  hex(128).map((text) => `sha512:${text}`),
);
const packageName = fc.array(fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,12}$/), {
  minLength: 1,
  maxLength: 3,
});
const image = fc.record(
  {
    name: fc.tuple(packageName, digest, fc.boolean(), fc.constantFrom('r', 'repository')).map(
      // Escaped, as Google writes it, and not.
      ([parts, of, escaped, id]) =>
        `projects/p/locations/l/repositories/${id}/dockerImages/${parts.join(escaped ? '%2F' : '/')}@${of}`,
    ),
    uri: fc.string(),
    tags: fc.array(fc.string()),
    imageSizeBytes: fc.integer({ min: 0, max: 2 ** 45 }),
    uploadTime: timestamp,
    buildTime: timestamp,
    mediaType: fc.string(),
    artifactType: fc.string(),
    imageManifests: fc.array(
      fc.record({
        digest,
        architecture: fc.constantFrom('', 'amd64', 'unknown'),
        os: fc.constantFrom('', 'linux', 'unknown'),
        osFeatures: fc.array(fc.string()),
      }),
    ),
  },
  { requiredKeys: ['name'] },
);

test('pages of images', () => {
  fc.assert(
    fc.property(fc.array(image), fc.string(), (dockerImages, nextPageToken) => {
      const { images } = messages;
      const bytes = images.encode(images.fromObject({ dockerImages, nextPageToken })).finish();
      const page = dockerImagesPage(reader(bytes));
      expect(page.next).toBe(nextPageToken);
      expect(page.rows).toEqual(sdk(images, bytes)['dockerImages']?.map(dockerImageRow));
    }),
    { numRuns: 500 },
  );
});

test('the summary of vulnerabilities, severities that nobody knows yet included', () => {
  const row = fc.record({
    resourceUri: fc.string(),
    severity: fc.nat(9),
    fixableCount: fc.nat(),
    totalCount: fc.integer({ min: 0, max: 2 ** 40 }),
  });
  fc.assert(
    fc.property(fc.array(row), (counts) => {
      const { summary } = messages;
      const bytes = summary.encode(summary.fromObject({ counts })).finish();
      expect([...summaryRows(reader(bytes))]).toEqual(sdk(summary, bytes)['counts']?.map(summaryRow));
    }),
  );
});

test('occurrences', () => {
  const common = { resourceUri: fc.string(), noteName: fc.string(), updateTime: timestamp };
  const occurrence = fc.oneof(
    fc.record({
      ...common,
      discovery: fc.record({
        analysisStatus: fc.nat(9),
        continuousAnalysis: fc.nat(3),
        lastScanTime: timestamp,
        archiveTime: timestamp,
        cpe: fc.string(),
      }),
    }),
    fc.record({
      ...common,
      vulnerability: fc.record({
        severity: fc.nat(9),
        effectiveSeverity: fc.nat(9),
        fixAvailable: fc.boolean(),
        cvssScore: fc.float({ noNaN: true }),
      }),
    }),
  );
  fc.assert(
    fc.property(fc.array(occurrence), fc.string(), (occurrences, nextPageToken) => {
      const type = messages.occurrences;
      const bytes = type.encode(type.fromObject({ occurrences, nextPageToken })).finish();
      expect(occurrencesPage(reader(bytes))).toEqual({
        rows: sdk(type, bytes)['occurrences']?.map(occurrenceRow),
        next: nextPageToken,
      });
    }),
  );
});

test('what is no such message ends, mostly with an error', () => {
  const read = [
    (bytes: Uint8Array) => dockerImagesPage(reader(bytes)),
    (bytes: Uint8Array) => occurrencesPage(reader(bytes)),
    (bytes: Uint8Array) => [...summaryRows(reader(bytes))],
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...read), (bytes, decode) => {
      try {
        decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }),
    { numRuns: 3000 },
  );
  // A cut message never passes for a shorter list.
  const { images } = messages;
  const name = `projects/p/locations/l/repositories/r/dockerImages/a@sha256:${'0'.repeat(64)}`;
  const whole = images
    .encode(images.fromObject({ dockerImages: [{ name }, { name }], nextPageToken: 'next' }))
    .finish();
  const complete = new Set([0, whole.length]);
  for (let length = 1; length < whole.length; length += 1) {
    let rows: number | undefined;
    try {
      rows = dockerImagesPage(reader(whole.subarray(0, length))).rows.length;
    } catch {}
    if (rows !== undefined) complete.add(length);
  }
  // Only where a field ends: gRPC itself tells how long a message is.
  expect(complete.size).toBe(4);
});
