import { defined } from '../../defined.ts';
import { gcrLocations } from '../../events/artifact-registry.ts';
import type { Image, Observation, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import type { Api, Location } from './api.ts';
import { type FindingsOf, readFindings } from './findings.ts';
import { type Doubts, doubtsOf, isNamed, type NamedRow, toImage } from './images.ts';
import type { DockerImageRow, RepositoryRow } from './rows.ts';

/** Of a repository's resource name. */
export const idOf = ({ name = '' }: RepositoryRow): string => name.split('/').at(-1) ?? '';

/** Resource URLs of everything in the repository start so, as Container Analysis has them. */
function resourcePrefixes({ project, location }: Location, repository: RepositoryRow): string[] {
  const id = idOf(repository);
  // A project of a domain, `example.com:project`, is a folder in addresses.
  const path = project.replace(':', '/');
  const prefixes = [repository.registryUri || `${location}-docker.pkg.dev/${path}/${id}`];
  if (Object.hasOwn(gcrLocations, id))
    prefixes.push(`${location}-docker.pkg.dev/${path}/${id}`, `${id}/${path}`);
  return [...new Set(prefixes)].map((prefix) => `https://${prefix.replace(/\/$/, '')}/`);
}

/** Practices that the repository's own settings tell; what could not be understood of them is unknown. */
function factsOf(repository: RepositoryRow): RepositoryFacts {
  const { dockerConfig, cleanupPolicies, cleanupPolicyDryRun, kmsKeyName, mode } = repository;
  const { enablementState = '' } = repository.vulnerabilityScanningConfig ?? {};
  const cleans = cleanupPolicies && Object.keys(cleanupPolicies).length > 0;
  const isRemote = mode === 'REMOTE_REPOSITORY';
  const practices = {
    scan_on_push: { SCANNING_ACTIVE: true, SCANNING_DISABLED: false, SCANNING_UNSUPPORTED: false }[
      enablementState
    ],
    // Tags of a remote repository are those of the registry that it stands for.
    immutable_tags: isRemote ? undefined : dockerConfig?.immutableTags,
    retention_policy: cleans && (cleanupPolicyDryRun === undefined ? undefined : !cleanupPolicyDryRun),
    customer_managed_key: kmsKeyName === undefined ? undefined : kmsKeyName !== '',
  };
  return {
    listsUntagged: true,
    // A remote repository holds what was pulled through it.
    partialIndexes: isRemote || undefined,
    fetchesMissing: isRemote || undefined,
    practices: defined(practices),
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
  /** Set once Container Analysis refuses or is out of reach: it would be so for every repository. */
  findingsRefused?: boolean;
  /** Set once it answered: what it cannot answer after that is about one repository. */
  findingsWork?: boolean;
}

const refusals = new Set<unknown>(['forbidden', 'auth']);
const outOfReach = new Set<unknown>(['connect', 'dns', 'tls', 'throttled', 'timeout']);

async function findingsOf(scope: Scope, repository: RepositoryRow): Promise<FindingsOf | undefined> {
  const { api, context, at } = scope;
  if (scope.findingsRefused) return undefined;
  try {
    const findings = await readFindings(api, at, resourcePrefixes(at, repository), context);
    scope.findingsWork = true;
    return findings;
  } catch (error) {
    context.signal.throwIfAborted();
    if (scope.ended) throw error;
    const { reason } = error as { reason?: unknown };
    if (refusals.has(reason) || (!scope.findingsWork && outOfReach.has(reason))) scope.findingsRefused = true;
    context.degraded('findings', error);
    return undefined;
  }
}

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

/** The packages of one repository while it is listed, by their names; undefined for one that is not wanted. */
class Packages extends Map<string, Package | undefined> {
  /** Those that are wanted and have been seen. */
  wanted(): Package[] {
    return [...this.values()].filter((entry) => entry !== undefined);
  }
}

/** Takes a page of images, each into its package. @returns how many have no name that can be understood */
function take(
  rows: readonly DockerImageRow[],
  packageOf: (name: string) => Package | undefined,
  findings: FindingsOf | undefined,
): number {
  const named: NamedRow[] = rows.filter(isNamed);
  for (const row of named) {
    const into = packageOf(row.name.packageName);
    if (!into) continue;
    Object.assign(into.doubts, doubtsOf(row));
    const image = toImage(row, findings);
    into.page.push(image);
    if (image.tags?.includes('latest')) into.latest = true;
  }
  return rows.length - named.length;
}

/** What was seen of the packages since the last time. */
function* observe(packages: Packages, facts: RepositoryFacts): Generator<Observation> {
  for (const item of packages.wanted()) {
    if (item.page.length === 0) continue;
    if (!item.opened) yield { type: 'repository', repository: item.name, facts };
    item.opened = true;
    yield { type: 'images', repository: item.name, images: item.page };
    item.page = [];
  }
}

/** The end of a listing. */
function* completed(
  packages: Packages,
  facts: RepositoryFacts,
  doubts: { readonly nameless: boolean; readonly findings: boolean },
): Generator<Observation> {
  for (const { name, latest, doubts: own } of packages.wanted())
    yield {
      type: 'repository-complete',
      repository: name,
      facts: {
        practices: {
          ...facts.practices,
          ...((latest || own.unreadTags === undefined) && { no_latest_tag: !latest }),
        },
        ...own,
        ...(doubts.nameless && { unreadTags: 'all' as const }),
        ...(doubts.findings && { findingsUnknown: true }),
      },
    };
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
  const packages = new Packages();
  let seen = 0;
  let nameless = 0;
  let findings: FindingsOf | undefined;

  function packageOf(packageName: string): Package | undefined {
    if (packages.has(packageName)) return packages.get(packageName);
    const name = prefix + packageName;
    const wanted = context.wants(name) && (only?.has(name) ?? true);
    const match: Package | undefined = wanted
      ? { name, page: [], opened: false, latest: false, doubts: {} }
      : undefined;
    packages.set(packageName, match);
    return match;
  }

  try {
    for await (const rows of api.dockerImages(repository.name ?? '')) {
      // Not asked for an empty repository.
      if (seen === 0 && rows.length > 0) findings = await findingsOf(scope, repository);
      seen += rows.length;
      nameless += take(rows, packageOf, findings);
      yield* observe(packages, facts);
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (!isNotFound(error) || (await scope.isListed(idOf(repository)))) {
      yield { type: 'group-failed', prefix, error };
      return;
    }
    // Deleted since it was listed, and everything in it.
    for (const { name } of packages.wanted()) yield { type: 'repository-gone', repository: name };
    yield* goneOf(context.only, prefix, (packageName) => packages.has(packageName));
    return;
  }
  if (nameless > 0)
    context.tell(
      `nameless images ${prefix}`,
      { repository: idOf(repository), images: nameless },
      'Artifact Registry listed images whose name cannot be understood: the counts of the repository are unknown',
    );
  yield* completed(packages, facts, { nameless: nameless > 0, findings: findings?.doubtful === true });
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
