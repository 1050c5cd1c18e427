import type { Image, Observation, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import type { Api, Repository } from './api.ts';
import { type FindingsOf, readFindings } from './findings.ts';
import { toImage } from './images.ts';
import type { DockerImageRow } from './rows.ts';

/** Where the repositories lie. */
export interface Location {
  readonly project: string;
  readonly location: string;
}

/** Repositories that stand in for Container Registry; https://cloud.google.com/artifact-registry/docs/transition/gcr-repositories */
const containerRegistryHosts = new Set(['gcr.io', 'us.gcr.io', 'eu.gcr.io', 'asia.gcr.io']);

/** Of a repository's resource name. */
export const idOf = (repository: Repository): string => repository.name?.split('/').at(-1) ?? '';

/** Resource URLs of everything in the repository start so, as Container Analysis has them. */
function resourcePrefixes({ project, location }: Location, repository: Repository): string[] {
  const id = idOf(repository);
  // A project of a domain, `example.com:project`, is a folder in addresses.
  const path = project.replace(':', '/');
  const prefixes = [repository.registryUri || `${location}-docker.pkg.dev/${path}/${id}`];
  if (containerRegistryHosts.has(id))
    prefixes.push(`${location}-docker.pkg.dev/${path}/${id}`, `${id}/${path}`);
  return [...new Set(prefixes)].map((prefix) => `https://${prefix.replace(/\/$/, '')}/`);
}

/** Practices that the repository's own settings tell. */
function factsOf(repository: Repository): RepositoryFacts {
  const { dockerConfig, cleanupPolicies, cleanupPolicyDryRun, kmsKeyName, mode } = repository;
  const scanning = repository.vulnerabilityScanningConfig?.enablementState;
  const scan = {
    SCANNING_ACTIVE: true,
    SCANNING_DISABLED: false,
    SCANNING_UNSUPPORTED: false,
    ENABLEMENT_STATE_UNSPECIFIED: undefined,
  }[String(scanning ?? 'ENABLEMENT_STATE_UNSPECIFIED')];
  return {
    listsUntagged: true,
    // A remote repository holds what was pulled through it.
    ...(mode === 'REMOTE_REPOSITORY' && { partialIndexes: true }),
    practices: {
      ...(scan !== undefined && { scan_on_push: scan }),
      // Tags of a remote repository are those of the registry that it stands for.
      ...(mode !== 'REMOTE_REPOSITORY' && { immutable_tags: dockerConfig?.immutableTags === true }),
      retention_policy: Object.keys(cleanupPolicies ?? {}).length > 0 && cleanupPolicyDryRun !== true,
      customer_managed_key: Boolean(kmsKeyName),
    },
  };
}

/** The same for all repositories of a cycle. */
export interface Scope {
  readonly api: Api;
  readonly context: CollectContext;
  readonly at: Location;
  /** Set once Container Analysis refuses: it would refuse for every repository. */
  findingsRefused?: boolean;
}

async function findingsOf(scope: Scope, repository: Repository): Promise<FindingsOf | undefined> {
  const { api, context, at } = scope;
  if (scope.findingsRefused) return undefined;
  try {
    return await readFindings(api, at.project, resourcePrefixes(at, repository), context);
  } catch (error) {
    context.signal.throwIfAborted();
    const { reason } = error as { reason?: unknown };
    if (reason === 'forbidden' || reason === 'auth') scope.findingsRefused = true;
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
}

/**
 * All packages of one repository, each a repository in the exporter's sense. One listing holds them all: where it
 * breaks, none of them is known to be whole.
 */
export async function* readPackages(scope: Scope, repository: Repository): AsyncGenerator<Observation> {
  const { api, context } = scope;
  const prefix = `${idOf(repository)}/`;
  const facts = factsOf(repository);
  const only = context.only && new Set(context.only);
  /** By the package's name; undefined for one that is not wanted. */
  const packages = new Map<string, Package | undefined>();
  let seen = 0;

  function packageOf(packageName: string): Package | undefined {
    if (packages.has(packageName)) return packages.get(packageName);
    const name = prefix + packageName;
    const wanted = context.wants(name) && (only?.has(name) ?? true);
    const found: Package | undefined = wanted ? { name, page: [], opened: false, latest: false } : undefined;
    packages.set(packageName, found);
    return found;
  }

  function* observe(
    rows: readonly DockerImageRow[],
    findings: FindingsOf | undefined,
  ): Generator<Observation> {
    const touched = new Set<Package>();
    let last: string | undefined;
    let into: Package | undefined;
    for (const row of rows) {
      if (row.packageName !== last) {
        last = row.packageName;
        into = packageOf(last);
        if (into) touched.add(into);
      }
      if (!into) continue;
      const image = toImage(row, findings);
      into.page.push(image);
      if (image.tags?.includes('latest')) into.latest = true;
    }
    for (const one of touched) {
      if (!one.opened) yield { type: 'repository', repository: one.name, facts };
      one.opened = true;
      yield { type: 'images', repository: one.name, images: one.page };
      one.page = [];
    }
  }
  const opened = () => [...packages.values()].filter((one) => one !== undefined);
  function* goneOfOnly(): Generator<Observation> {
    for (const repository of only ?? [])
      if (repository.startsWith(prefix) && !packages.has(repository.slice(prefix.length)))
        yield { type: 'repository-gone', repository };
  }

  try {
    let findings: FindingsOf | undefined;
    for await (const rows of api.dockerImages(repository.name ?? '')) {
      // Not asked for an empty repository.
      if (seen === 0 && rows.length > 0) findings = await findingsOf(scope, repository);
      seen += rows.length;
      yield* observe(rows, findings);
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (!isNotFound(error)) {
      yield { type: 'group-failed', prefix, error };
      return;
    }
    // Deleted since it was listed, and everything in it.
    for (const { name } of opened()) yield { type: 'repository-gone', repository: name };
    yield* goneOfOnly();
    return;
  }
  for (const { name, latest } of opened()) {
    const practices = { ...facts.practices, no_latest_tag: !latest };
    yield { type: 'repository-complete', repository: name, facts: { practices } };
  }
  if (seen === 0) yield { type: 'group-empty', prefix };
  else yield* goneOfOnly();
}
