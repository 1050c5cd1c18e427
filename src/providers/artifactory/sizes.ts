import { CollectError, reasonOf } from '../../errors.ts';
import type { Memory } from '../../provider.ts';
import { type Aql, chunksByPath, type Row } from './aql.ts';
import type { Contents } from './contents.ts';
import type { Manifest, Target } from './layout.ts';

/** More folders than this are read by listing all blobs of the repository instead of naming each. */
const namedAtMost = 300;

const fields = ['repo', 'path', 'name', 'size'];

/** Reads sizes that are not known yet, by path: the sum of the blobs in each folder, where all of them are there. */
async function readFolders(
  aql: Aql,
  target: Target,
  paths: ReadonlySet<string>,
): Promise<Map<string, number | undefined>> {
  const sums = new Map<string, number | undefined>();
  const add = (rows: readonly Row[]): void => {
    for (const { path, name, size } of rows) {
      if (!paths.has(path)) continue;
      const sum = sums.has(path) ? sums.get(path) : 0;
      // A marker stands for a blob that a cache did not fetch.
      const isKnown = sum !== undefined && size !== undefined && !name.endsWith('.marker');
      sums.set(path, isKnown ? sum + size : undefined);
    }
  };
  const criteria = { repo: target.storage, type: 'file', name: { $match: 'sha256__*' } };
  const leftOut = (): never => {
    throw new CollectError('invalid_response', 'the search of Artifactory left out blobs: sizes are unknown');
  };
  if (paths.size > namedAtMost) for await (const rows of aql.pages(criteria, fields, leftOut)) add(rows);
  else
    for (const chunk of chunksByPath(criteria, [...paths]))
      add(await aql.all(chunk, fields, 'aql_blobs', leftOut));
  return sums;
}

/**
 * Sizes of images by their digest: the manifest and the blobs that lie beside it, from the search, in bulk. They do not
 * change while the folder's manifest is the same, so each is looked for once. Those of folders without blobs, or with
 * marks of some of them, and of caches are unknown: such manifests are left to be read.
 */
export async function readSizes(input: {
  readonly aql: Aql;
  readonly memory: Memory;
  readonly contents: Contents;
  readonly target: Target;
  /** Manifests of images and platforms. */
  readonly manifests: readonly Manifest[];
}): Promise<Map<string, number>> {
  const { aql, memory, contents, target, manifests } = input;
  // The sum depends on what lies in the folder, not on the digest alone.
  const keyOf = ({ path, digest }: Manifest) => `size ${target.storage} ${path} ${digest}`;
  const sizes = new Map<string, number>();
  const unknown = new Map<string, Manifest>();
  for (const manifest of manifests) {
    const size = contents.of(manifest.digest)?.size ?? memory.get<number>(keyOf(manifest))?.value;
    if (size === undefined) unknown.set(manifest.path, manifest);
    else sizes.set(manifest.digest, size);
  }
  // A cache lacks blobs that nobody pulled and those that its cleanup took one by one: the manifests tell.
  // https://github.com/jfrog/artifactory-user-plugins/issues/259
  if (unknown.size === 0 || target.type === 'remote') return sizes;
  const sums = await readFolders(aql, target, new Set(unknown.keys())).catch((error) => {
    // What a search that was cut does not tell the manifests do.
    if (reasonOf(error) !== 'too_large') throw error;
    return new Map<string, number | undefined>();
  });
  for (const manifest of unknown.values()) {
    const { path, digest, bytes } = manifest;
    const sum = sums.get(path);
    if (sum === undefined || bytes === undefined) continue;
    memory.set(keyOf(manifest), sum + bytes);
    sizes.set(digest, sum + bytes);
  }
  return sizes;
}
