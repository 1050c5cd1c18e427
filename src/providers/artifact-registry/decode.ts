/**
 * Reads the few fields that are used straight from the wire: the SDK builds an object of every field, with defaults,
 * which takes several times as long for a page of 1000 images. Field numbers are those of
 * https://github.com/googleapis/googleapis/tree/master/google/devtools/artifactregistry/v1,
 * https://github.com/googleapis/googleapis/tree/master/google/devtools/containeranalysis/v1 and
 * https://github.com/googleapis/googleapis/tree/master/grafeas/v1
 */
import {
  type DockerImageRow,
  imagesFolder,
  isAttestation,
  type OccurrenceRow,
  type Page,
  type SummaryRow,
  unescaped,
} from './rows.ts';
import { embedded, fields, long, type Reader, text, timestamp } from './wire.ts';

/** A string of ASCII letters, as digests are: a copy, which keeps nothing else in memory. */
const ascii = ({ buf }: Reader, start: number, end: number): string =>
  (buf as Buffer).toString('latin1', start, end);

/** Where the digest of an image's resource name starts, and its package; mostly where they did in the one before. */
let usualPackage = 0;
const usualDigest = 71;

/** @returns undefined for a name that is none of an image */
function nameParts(
  reader: Reader,
  end: number,
): { readonly package: number; readonly at: number } | undefined {
  const buffer = reader.buf as Buffer;
  const start = reader.pos;
  const at =
    buffer[end - usualDigest - 1] === 0x40 ? end - usualDigest - 1 : buffer.lastIndexOf(0x40, end - 1);
  const usual = start + usualPackage;
  // `s/`, and the slash before `dockerImages`
  const asUsual =
    usual < at && buffer[usual - 1] === 0x2f && buffer[usual - 2] === 0x73 && buffer[usual - 14] === 0x2f;
  const from = asUsual ? usual : buffer.lastIndexOf(imagesFolder, at, 'latin1') + imagesFolder.length;
  if (at < start || from < start + imagesFolder.length || from > at) return undefined;
  usualPackage = from - start;
  return { package: from, at };
}

const none: readonly never[] = [];

/** ImageManifest */
function imageManifest(reader: Reader): DockerImageRow['manifests'][number] {
  let architecture = '';
  let os = '';
  let digest = '';
  fields(reader, embedded(reader), (number) => {
    if (number === 1) architecture = text(reader);
    else if (number === 2) os = text(reader);
    else if (number === 3) digest = text(reader);
    else return false;
    return true;
  });
  return { digest, attestation: isAttestation(architecture, os) };
}

/** DockerImage */
function dockerImage(reader: Reader): DockerImageRow {
  let packageName = '';
  let digest = '';
  let tags: string[] | undefined;
  let sizeBytes = 0;
  let uploadedAt = 0;
  let mediaType = '';
  let artifactType = '';
  let manifests: DockerImageRow['manifests'][number][] | undefined;
  const end = embedded(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag >>> 3) {
      case 1: {
        const until = embedded(reader);
        const parts = nameParts(reader, until);
        packageName = parts ? unescaped(ascii(reader, parts.package, parts.at)) : '';
        digest = parts ? ascii(reader, parts.at + 1, until) : '';
        reader.pos = until;
        break;
      }
      case 3:
        tags ??= [];
        tags.push(text(reader));
        break;
      case 4:
        sizeBytes = long(reader);
        break;
      case 5:
        uploadedAt = timestamp(reader);
        break;
      case 6:
        mediaType = text(reader);
        break;
      case 9:
        artifactType = text(reader);
        break;
      case 11:
        manifests ??= [];
        manifests.push(imageManifest(reader));
        break;
      default:
        reader.skipType(tag & 7);
    }
  }
  return {
    packageName,
    digest,
    tags: tags ?? none,
    sizeBytes,
    uploadedAt,
    mediaType,
    artifactType,
    manifests: manifests ?? none,
  };
}

function page<T>(reader: Reader, row: (reader: Reader) => T): Page<T> {
  const rows: T[] = [];
  let next = '';
  fields(reader, reader.len, (number) => {
    if (number === 1) rows.push(row(reader));
    else if (number === 2) next = text(reader);
    else return false;
    return true;
  });
  return { rows, next };
}

/** ListDockerImagesResponse */
export const dockerImagesPage = (reader: Reader): Page<DockerImageRow> => page(reader, dockerImage);

/** Occurrence */
function occurrence(reader: Reader): OccurrenceRow {
  let resource = '';
  let note = '';
  let updatedAt = 0;
  let discovery: OccurrenceRow['discovery'];
  let vulnerability: OccurrenceRow['vulnerability'];
  fields(reader, embedded(reader), (number) => {
    if (number === 2) resource = text(reader);
    else if (number === 3) note = text(reader);
    else if (number === 7) updatedAt = timestamp(reader);
    else if (number === 8) vulnerability = vulnerabilityOccurrence(reader);
    else if (number === 13) discovery = discoveryOccurrence(reader);
    else return false;
    return true;
  });
  return {
    resource,
    note,
    updatedAt,
    ...(discovery && { discovery }),
    ...(vulnerability && { vulnerability }),
  };
}

function discoveryOccurrence(reader: Reader): NonNullable<OccurrenceRow['discovery']> {
  let status = 0;
  let scannedAt = 0;
  let archived = false;
  let inactive = false;
  fields(reader, embedded(reader), (number) => {
    if (number === 1) inactive = reader.int32() === 2;
    else if (number === 2) status = reader.int32();
    else if (number === 5) scannedAt = timestamp(reader);
    else if (number === 6) archived = timestamp(reader) > 0;
    else return false;
    return true;
  });
  return { status, scannedAt, archived, inactive };
}

function vulnerabilityOccurrence(reader: Reader): NonNullable<OccurrenceRow['vulnerability']> {
  let severity = 0;
  let effective = 0;
  let fixable = false;
  fields(reader, embedded(reader), (number) => {
    if (number === 2) severity = reader.int32();
    else if (number === 8) effective = reader.int32();
    else if (number === 9) fixable = reader.bool();
    else return false;
    return true;
  });
  return { severity: effective || severity, fixable };
}

/** ListOccurrencesResponse */
export const occurrencesPage = (reader: Reader): Page<OccurrenceRow> => page(reader, occurrence);

/**
 * VulnerabilityOccurrencesSummary, one row after the other: it comes in one piece, however many images there are.
 * @throws RangeError when it is not such a message
 */
export function* summaryRows(reader: Reader): Generator<SummaryRow> {
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >>> 3 !== 1) {
      reader.skipType(tag & 7);
      continue;
    }
    let resource = '';
    let severity = 0;
    let fixable = 0;
    let total = 0;
    fields(reader, embedded(reader), (number) => {
      if (number === 1) resource = text(reader);
      else if (number === 2) severity = reader.int32();
      else if (number === 3) fixable = long(reader);
      else if (number === 4) total = long(reader);
      else return false;
      return true;
    });
    yield { resource, severity, fixable, total };
  }
}
