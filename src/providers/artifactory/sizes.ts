import type { Memory } from '../../provider.ts';
import { type Aql, chunksByPath, type Row } from './aql.ts';
import type { Contents } from './contents.ts';
import type { Manifest, Target } from './layout.ts';

/** More folders than this are read by listing all blobs of the repository instead of naming each. */
const namedAtMost = 300;

const fields = ['repo', 'path', 'name', 'size'];

/**
 * Sizes of images by their digest: the manifest and the blobs that lie beside it, from the search, in bulk. They never
 * change, so each is looked for once. A folder without blobs, or with markers of blobs that a cache did not fetch, tells
 * nothing: such manifests are left to be read.
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
  const sizes = new Map<string, number>();
  const unknown = new Map<string, Manifest>();
  for (const manifest of manifests) {
    const size =
      contents.of(manifest.digest)?.size ?? memory.get<number>(`size ${manifest.digest}`)?.value ?? undefined;
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
  if (unknown.size > namedAtMost) for await (const rows of aql.pages(criteria, fields)) add(rows);
  else
    for (const chunk of chunksByPath(criteria, [...unknown.keys()]))
      add(await aql.all(chunk, fields, 'aql_blobs'));

  for (const [path, { digest, bytes }] of unknown) {
    const sum = blobs.get(path);
    if (!sum?.whole || bytes === undefined) continue;
    memory.set(`size ${digest}`, sum.bytes + bytes);
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
 * Bytes of `59.77 GB`, `1,024 bytes` or `32.22 GB (15.77%)` as the storage summary writes them, exact to the digits
 * that are there; undefined for anything else, such as `Infinite`.
 * https://jfrog.com/help/r/jfrog-rest-apis/get-storage-summary-info
 */
export function bytesOf(text: string | number | null | undefined): number | undefined {
  if (typeof text === 'number') return text >= 0 ? text : undefined;
  const [, number, unit] = /^\s*([\d,]*\.?\d+)\s*([a-z]+)?\s*(?:\([^)]*\))?\s*$/i.exec(text ?? '') ?? [];
  if (number === undefined) return undefined;
  const factor = unit === undefined ? 1 : units[unit.toLowerCase()];
  return factor === undefined ? undefined : Math.round(Number(number.replaceAll(',', '')) * factor);
}
