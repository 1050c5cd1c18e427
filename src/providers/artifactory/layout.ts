import { secondsOf } from '../../times.ts';
import { type Aql, type Criteria, idOf, type Row } from './aql.ts';

/** A repository of the JFrog platform that holds images. */
export interface Target {
  /** What people pull from, and what the label `repository` begins with. */
  readonly key: string;
  /** Where the items are: a remote repository keeps them in its cache. */
  readonly storage: string;
  readonly type: 'local' | 'remote' | 'federated';
  readonly packageType: 'docker' | 'oci' | 'helmoci';
}

/**
 * A manifest as it lies in a repository: `IMAGE/TAG/manifest.json`, for an index `IMAGE/TAG/list.manifest.json`, and
 * below `IMAGE/sha256:HEX/` (in caches `sha256__HEX`) what has no tag: platforms, and what is attached to an image.
 * Its blobs lie beside it as `sha256__HEX`, in caches also as `….marker` where they were not fetched.
 * https://github.com/jfrog/jfrog-cli-artifactory/tree/main/artifactory/commands/ocicontainer
 */
export interface Manifest {
  readonly image: string;
  readonly path: string;
  readonly index: boolean;
  readonly digest: string;
  readonly tag?: string;
  /** Of the document itself. */
  readonly bytes?: number;
  readonly pushedAt?: number;
  /** What is known of its downloads: undefined where the statistics could not be read. */
  stats?: { readonly downloads: number; readonly pulledAt?: number };
}

const manifestNames = ['manifest.json', 'list.manifest.json'] as const;

/** `image` and tag or digest of a folder; undefined for folders that hold no image. */
export function placeOf(path: string): { image: string; tag?: string; digest?: string } | undefined {
  const slash = path.lastIndexOf('/');
  if (slash <= 0) return undefined;
  const image = path.slice(0, slash);
  const leaf = path.slice(slash + 1);
  // Blobs on their way: docker uploads them there, Artifactory moves them.
  if (image.split('/').some((part) => part === '_uploads' || part === '.jfrog')) return undefined;
  const [, hex] = /^sha256(?::|__)([0-9a-f]{64})$/.exec(leaf) ?? [];
  return hex === undefined ? { image, tag: leaf } : { image, digest: `sha256:${hex}` };
}

const isSha256 = (text: string | null | undefined): text is string => /^[0-9a-f]{64}$/.test(text ?? '');

/** The manifest of an item; undefined where it is none, or where nothing tells its digest. */
function manifestOf(row: Row): Manifest | undefined {
  const place = placeOf(row.path);
  if (!place || !manifestNames.some((name) => name === row.name)) return undefined;
  const property = row.properties?.find(({ key }) => key === 'docker.manifest.digest')?.value ?? undefined;
  const digest = isSha256(row.sha256) ? `sha256:${row.sha256}` : (property ?? place.digest);
  if (digest === undefined) return undefined;
  return {
    image: place.image,
    path: row.path,
    index: row.name === 'list.manifest.json',
    digest,
    tag: place.tag,
    bytes: row.size,
    // Not `created`, which stays when a tag is pushed again.
    pushedAt: row.modified,
  };
}

/** What is asked of a repository: everything, or some images only. */
function criteriaOf(target: Target, only?: readonly string[]): Criteria {
  const names = { $or: manifestNames.map((name) => ({ name })) };
  const paths = only && { $or: only.map((image) => ({ path: { $match: `${image}/*` } })) };
  return { repo: target.storage, type: 'file', ...(paths ? { $and: [paths, names] } : names) };
}

/** Where the manifests are read, and who is told of what is missing. */
export interface Listing {
  /** Of these images only. */
  readonly only?: readonly string[] | undefined;
  /** Called when the statistics, or the digests of old manifests, cannot be read: the manifests come all the same. */
  failed(capability: 'pull_times' | 'images', error: unknown): void;
  /** Called with an image of which a manifest has no digest; undefined: something has no name either. */
  nameless(image: string | undefined): void;
}

/** All manifests of a repository, with their downloads. */
export async function listManifests(aql: Aql, target: Target, listing: Listing): Promise<Manifest[]> {
  const { failed, nameless } = listing;
  const criteria = criteriaOf(target, listing.only);
  const all: Manifest[] = [];
  let hasStats = true;
  let page = 0;
  for await (const rows of aql.pages(criteria, ['repo', 'path', 'name', ...fields], () =>
    nameless(undefined),
  )) {
    page += 1;
    const manifests = await manifestsOf(aql, criteria, rows, listing);
    // Criteria without a range are cheaper, and right while the first page is all that there is.
    const scope = page === 1 && rows.length < 1000 ? criteria : between(criteria, rows);
    if (hasStats)
      await addStats(aql, scope, manifests).catch((error) => {
        hasStats = false;
        failed('pull_times', error);
      });
    for (const manifest of manifests.values()) all.push(manifest);
  }
  return all;
}

const fields = ['size', 'sha256', 'modified'];

/** The manifests of a page, by the id of their item. */
async function manifestsOf(
  aql: Aql,
  criteria: Criteria,
  rows: readonly Row[],
  { failed, nameless }: Listing,
): Promise<Map<string, Manifest>> {
  const unnamed = rows.filter((row) => !isSha256(row.sha256) && placeOf(row.path)?.tag !== undefined);
  const named = await digestsOf(aql, criteria, unnamed).catch((error) => {
    failed('images', error);
    return new Map<string, Row>();
  });
  const manifests = new Map<string, Manifest>();
  for (const row of rows) {
    const manifest = manifestOf(named.get(idOf(row)) ?? row);
    const place = placeOf(row.path);
    if (manifest) manifests.set(idOf(row), manifest);
    else if (place) nameless(place.image);
  }
  // Beside an index of the same tag lies the manifest of one platform, which the tag does not name.
  const indexes = new Set([...manifests.values()].filter(({ index }) => index).map(({ path }) => path));
  for (const [id, manifest] of manifests)
    if (!manifest.index && indexes.has(manifest.path)) manifests.set(id, { ...manifest, tag: undefined });
  return manifests;
}

/** Items between the first and the last of a page, in the order that the database itself has. */
const between = (criteria: Criteria, rows: readonly Row[]): Criteria => ({
  $and: [criteria, { path: { $gte: rows[0]?.path } }, { path: { $lte: rows.at(-1)?.path } }],
});

/** What is left out is unknown, and reported where the answer is read. */
const isUnknown = (): void => {};

/** Adds the downloads. What was never downloaded has no statistics; what cannot be understood (null) is unknown. */
async function addStats(
  aql: Aql,
  criteria: Criteria,
  manifests: ReadonlyMap<string, Manifest>,
): Promise<void> {
  const items = await aql.all(
    criteria,
    ['repo', 'path', 'name', 'stat.downloads', 'stat.downloaded'],
    'aql_stats',
    isUnknown,
  );
  for (const item of items) {
    const manifest = manifests.get(idOf(item));
    if (!manifest || item.stats === null) continue;
    const [first] = item.stats ?? [];
    manifest.stats = { downloads: first?.downloads ?? 0, pulledAt: secondsOf(first?.downloaded) };
  }
}

/** Items that are older than Artifactory's SHA-256 have their digest in a property. */
async function digestsOf(aql: Aql, criteria: Criteria, rows: readonly Row[]): Promise<Map<string, Row>> {
  if (rows.length === 0) return new Map();
  const wanted = new Map(rows.map((row) => [idOf(row), row]));
  const items = await aql.all(
    between(criteria, rows),
    ['repo', 'path', 'name', 'property'],
    'aql_properties',
    isUnknown,
  );
  return new Map(
    items.flatMap((item) => {
      const row = wanted.get(idOf(item));
      return row ? [[idOf(item), { ...row, properties: item.properties }] as const] : [];
    }),
  );
}
