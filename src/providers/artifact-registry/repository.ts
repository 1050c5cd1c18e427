import type { Image, Observation, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import type { Api, Location } from './api.ts';
import { type FindingsOf, readFindings } from './findings.ts';
import { isNamed, listsUnknown, oddFields, toImage } from './images.ts';
import type { DockerImageRow, RepositoryRow } from './rows.ts';

/** Repositories that stand in for Container Registry; https://cloud.google.com/artifact-registry/docs/transition/gcr-repositories */
const containerRegistryHosts = new Set(['gcr.io', 'us.gcr.io', 'eu.gcr.io', 'asia.gcr.io']);

/** Of a repository's resource name. */
export const idOf = ({ name }: RepositoryRow): string => name.split('/').at(-1) ?? '';

/** Resource URLs of everything in the repository start so, as Container Analysis has them. */
function resourcePrefixes({ project, location }: Location, repository: RepositoryRow): string[] {
  const id = idOf(repository);
  // A project of a domain, `example.com:project`, is a folder in addresses.
  const path = project.replace(':', '/');
  const prefixes = [repository.registryUri || `${location}-docker.pkg.dev/${path}/${id}`];
  if (containerRegistryHosts.has(id))
    prefixes.push(`${location}-docker.pkg.dev/${path}/${id}`, `${id}/${path}`);
  return [...new Set(prefixes)].map((prefix) => `https://${prefix.replace(/\/$/, '')}/`);
}

/** Practices that the repository's own settings tell; what could not be understood of them is unknown. */
function factsOf(repository: RepositoryRow): RepositoryFacts {
  const { immutableTags, cleans, cleansDry, hasKey, mode } = repository;
  const scan = {
    SCANNING_ACTIVE: true,
    SCANNING_DISABLED: false,
    SCANNING_UNSUPPORTED: false,
  }[repository.scanning ?? ''];
  const cleaning = cleans === false ? false : cleans && cleansDry !== undefined ? !cleansDry : undefined;
  return {
    listsUntagged: true,
    // A remote repository holds what was pulled through it.
    ...(mode === 'REMOTE_REPOSITORY' && { partialIndexes: true }),
    practices: {
      scan_on_push: scan,
      // Tags of a remote repository are those of the registry that it stands for.
      ...(mode !== 'REMOTE_REPOSITORY' && immutableTags !== undefined && { immutable_tags: immutableTags }),
      retention_policy: cleaning,
      customer_managed_key: hasKey,
    },
  };
}

/** The same for all repositories of a cycle. */
export interface Scope {
  readonly api: Api;
  readonly context: CollectContext;
  readonly at: Location;
  /** Lists the repositories again: what answers "not found" and is listed is not gone. */
  isListed(id: string): Promise<boolean>;
  /** Set once the cycle is over: what breaks then says nothing. */
  ended?: boolean;
  /** Set once Container Analysis refuses: it would refuse for every repository. */
  findingsRefused?: boolean;
}

async function findingsOf(scope: Scope, repository: RepositoryRow): Promise<FindingsOf | undefined> {
  const { api, context, at } = scope;
  if (scope.findingsRefused) return undefined;
  try {
    return await readFindings(api, at, resourcePrefixes(at, repository), context);
  } catch (error) {
    context.signal.throwIfAborted();
    if (scope.ended) throw error;
    const { reason } = error as { reason?: unknown };
    if (reason === 'forbidden' || reason === 'auth') scope.findingsRefused = true;
    context.degraded('findings', error);
    return undefined;
  }
}

/** What is not known of a package because something of an image could not be understood. */
type Doubts = Pick<RepositoryFacts, 'newestUnknown' | 'unreadTags' | 'unknownKinds' | 'findingsUnknown'>;

/** A package while its repository is listed. */
interface Package {
  readonly name: string;
  /** Its images of the page at hand. */
  page: Image[];
  opened: boolean;
  /** Whether one of its tags is `latest`. */
  latest: boolean;
  doubts: Doubts;
}

/** Takes an image of a page into its package. */
function take(row: DockerImageRow, into: Package, findings: FindingsOf | undefined, context: CollectContext) {
  const odd = oddFields(row);
  for (const field of odd) {
    context.tell(
      `odd image ${field}`,
      { field, repository: into.name },
      'a part of what Artifact Registry answered could not be understood: what depends on it is unknown',
    );
    if (field === 'uploadTime') into.doubts = { ...into.doubts, newestUnknown: true };
    if (field === 'tags' || field === 'mediaType' || field === 'artifactType')
      into.doubts = { ...into.doubts, unreadTags: 'all' };
  }
  // An index has the findings of its platforms: which these are is not known.
  if (odd.includes('imageManifests') || listsUnknown(row))
    into.doubts = { ...into.doubts, unknownKinds: ['platform'], findingsUnknown: true };
  const image = toImage(row, findings, odd);
  into.page.push(image);
  if (image.tags?.includes('latest')) into.latest = true;
}

/**
 * All packages of one repository, each a repository in the exporter's sense. One listing holds them all: where it
 * breaks, none of them is known to be whole.
 */
export async function* readPackages(scope: Scope, repository: RepositoryRow): AsyncGenerator<Observation> {
  const { api, context } = scope;
  const prefix = `${idOf(repository)}/`;
  const facts = factsOf(repository);
  const only = context.only && new Set(context.only);
  /** By the package's name; undefined for one that is not wanted. */
  const packages = new Map<string, Package | undefined>();
  let seen = 0;
  let nameless = 0;
  let findings: FindingsOf | undefined;

  function packageOf(packageName: string): Package | undefined {
    if (packages.has(packageName)) return packages.get(packageName);
    const name = prefix + packageName;
    const wanted = context.wants(name) && (only?.has(name) ?? true);
    const found: Package | undefined = wanted
      ? { name, page: [], opened: false, latest: false, doubts: {} }
      : undefined;
    packages.set(packageName, found);
    return found;
  }

  function* observe(rows: readonly DockerImageRow[]): Generator<Observation> {
    const touched = new Set<Package>();
    let last: string | undefined;
    let into: Package | undefined;
    for (const row of rows) {
      if (!isNamed(row)) {
        nameless += 1;
        continue;
      }
      if (row.packageName !== last) {
        last = row.packageName;
        into = packageOf(last);
        if (into) touched.add(into);
      }
      if (into) take(row, into, findings, context);
    }
    for (const one of touched) {
      if (!one.opened) yield { type: 'repository', repository: one.name, facts };
      one.opened = true;
      yield { type: 'images', repository: one.name, images: one.page };
      one.page = [];
    }
  }
  const opened = () => [...packages.values()].filter((one) => one !== undefined);

  try {
    for await (const rows of api.dockerImages(repository.name)) {
      // Not asked for an empty repository.
      if (seen === 0 && rows.length > 0) findings = await findingsOf(scope, repository);
      seen += rows.length;
      yield* observe(rows);
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (!isNotFound(error) || (await scope.isListed(idOf(repository)))) {
      yield { type: 'group-failed', prefix, error };
      return;
    }
    // Deleted since it was listed, and everything in it.
    for (const { name } of opened()) yield { type: 'repository-gone', repository: name };
    yield* goneOf(context.only, prefix, (packageName) => packages.has(packageName));
    return;
  }
  if (nameless > 0)
    context.tell(
      `nameless images ${prefix}`,
      { repository: idOf(repository), images: nameless },
      'Artifact Registry listed images whose name cannot be understood: the counts of the repository are unknown',
    );
  for (const { name, latest, doubts } of opened()) {
    const practices = {
      ...facts.practices,
      ...((latest || doubts.unreadTags === undefined) && { no_latest_tag: !latest }),
    };
    const unknown: Doubts = {
      ...doubts,
      ...(nameless > 0 && { unreadTags: 'all' }),
      ...(findings?.doubtful && { findingsUnknown: true }),
    };
    yield { type: 'repository-complete', repository: name, facts: { practices, ...unknown } };
  }
  if (seen === 0) yield { type: 'group-empty', prefix };
  else yield* goneOf(context.only, prefix, (packageName) => packages.has(packageName));
}

/** Of packages that are looked at again, those that are not there any more. */
function* goneOf(
  only: readonly string[] | undefined,
  prefix: string,
  isThere: (packageName: string) => boolean,
): Generator<Observation> {
  for (const repository of only ?? [])
    if (repository.startsWith(prefix) && !isThere(repository.slice(prefix.length)))
      yield { type: 'repository-gone', repository };
}
