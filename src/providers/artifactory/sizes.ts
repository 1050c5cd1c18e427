import { CollectError } from '../../errors.ts';
import type { Memory } from '../../provider.ts';
import { type Aql, chunksByPath, type Row } from './aql.ts';
import type { Contents } from './contents.ts';
import type { Manifest, Target } from './layout.ts';

/** More folders than this are read by listing all blobs of the repository instead of naming each. */
const namedAtMost = 300;

const fields = ['repo', 'path', 'name', 'size'];

/**
 * Sizes of images by their digest: the manifest and the blobs that lie beside it, from the search, in bulk. They do not
 * change while the folder's manifest is the same, so each is looked for once. A folder without blobs, or with markers of
 * blobs that a cache did not fetch, tells nothing: such manifests are left to be read.
 */
export async function readSizes(given: {
  readonly aql: Aql;
  readonly memory: Memory;
  readonly contents: Contents;
  readonly target: Target;
  /** Manifests of images and platforms. */
  readonly manifests: readonly Manifest[];
}): Promise<Map<string, number>> {
  const { aql, memory, contents, target, manifests } = given;
  // The sum depends on what lies in the folder, not on the digest alone.
  const keyOf = ({ path, digest }: Manifest) => `size ${target.storage} ${path} ${digest}`;
  const sizes = new Map<string, number>();
  const unknown = new Map<string, Manifest>();
  for (const manifest of manifests) {
    const size = contents.of(manifest.digest)?.size ?? memory.get<number>(keyOf(manifest))?.value;
    if (size === undefined) unknown.set(manifest.path, manifest);
    else sizes.set(manifest.digest, size);
  }
  if (unknown.size === 0) return sizes;

  const blobs = new Map<string, { bytes: number; whole: boolean }>();
  const add = (rows: readonly Row[]): void => {
    for (const { path, name, size } of rows) {
      if (!unknown.has(path)) continue;
      const sum = blobs.get(path) ?? { bytes: 0, whole: true };
      if (size === undefined || name.endsWith('.marker')) sum.whole = false;
      else sum.bytes += size;
      blobs.set(path, sum);
    }
  };
  const criteria = { repo: target.storage, type: 'file', name: { $match: 'sha256__*' } };
  const leftOut = (): never => {
    throw new CollectError('invalid_response', 'the search of Artifactory left out blobs: sizes are unknown');
  };
  if (unknown.size > namedAtMost) for await (const rows of aql.pages(criteria, fields, leftOut)) add(rows);
  else
    for (const chunk of chunksByPath(criteria, [...unknown.keys()]))
      add(await aql.all(chunk, fields, 'aql_blobs', leftOut));

  for (const manifest of unknown.values()) {
    const { path, digest, bytes } = manifest;
    const sum = blobs.get(path);
    if (!sum?.whole || bytes === undefined) continue;
    memory.set(keyOf(manifest), sum.bytes + bytes);
    sizes.set(digest, sum.bytes + bytes);
  }
  return sizes;
}

const units: Readonly<Record<string, number>> = {
  byte: 1,
  bytes: 1,
  b: 1,
  kb: 2 ** 10,
  mb: 2 ** 20,
  gb: 2 ** 30,
  tb: 2 ** 40,
  pb: 2 ** 50,
};

/**
 * A number as some language writes it: `1,204.50`, `1.204,50`, `1 204,5` or `3,48`. A single sign before three digits
 * separates thousands where it is a comma or the number is one of bytes: sums with a unit have two decimals.
 */
function numberOf(text: string, whole: boolean): number {
  const plain = text.replace(/[\s\u00a0\u202f'’]/g, '');
  const last = Math.max(plain.lastIndexOf(','), plain.lastIndexOf('.'));
  if (last < 0) return Number(plain);
  const sign = plain[last] as string;
  const other = sign === ',' ? '.' : ',';
  const grouped = /^\d{3}$/.test(plain.slice(last + 1)) && !plain.includes(other) && (sign === ',' || whole);
  const repeated = plain.indexOf(sign) !== last;
  if (grouped || repeated) return Number(plain.replaceAll(sign, '').replace(other, '.'));
  return Number(`${plain.slice(0, last).replaceAll(other, '')}.${plain.slice(last + 1)}`);
}

/**
 * Bytes of `59.77 GB`, `1,024 bytes` or `32.22 GB (15.77%)` as the storage summary writes them, exact to the digits
 * that are there; undefined for anything else, such as `Infinite` or `0 bytes (N/A)`.
 * https://jfrog.com/help/r/jfrog-rest-apis/get-storage-summary-info
 */
export function bytesOf(text: string | number | null | undefined): number | undefined {
  if (typeof text === 'number') return Number.isSafeInteger(text) && text >= 0 ? text : undefined;
  if (/N\/A/i.test(text ?? '')) return undefined;
  const [, number, unit = 'bytes'] =
    /^\s*(\d[\d.,\s\u00a0\u202f'’]*?|[.,]\d+)\s*([a-z]+)?\s*(?:\([^)]*\))?\s*$/i.exec(
      (text ?? '').slice(0, 100),
    ) ?? [];
  const factor = units[unit.toLowerCase()];
  if (number === undefined || factor === undefined) return undefined;
  const bytes = Math.round(numberOf(number, factor === 1) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
