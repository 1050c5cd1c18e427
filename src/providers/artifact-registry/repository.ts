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
export function factsOf(repository: Repository): RepositoryFacts {
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

/**
 * All packages of one repository, each a repository in the exporter's sense. One listing holds them all: where it
 * breaks, none of them is known to be whole.
 */
export async function* readPackages(scope: Scope, repository: Repository): AsyncGenerator<Observation> {
  const { api, context } = scope;
  const prefix = `${idOf(repository)}/`;
  const facts = factsOf(repository);
  const wanted = new Map<string, boolean>();
  const only = context.only && new Set(context.only);
  /** Packages that were seen, and whether one of their tags is `latest`. */
  const opened = new Map<string, boolean>();
  let seen = 0;

  function* observe(
    rows: readonly DockerImageRow[],
    findings: FindingsOf | undefined,
  ): Generator<Observation> {
    const pages = new Map<string, Image[]>();
    for (const row of rows) {
      const cut = row.image.lastIndexOf('@');
      const name = prefix + row.image.slice(0, cut);
      let wants = wanted.get(name);
      if (wants === undefined) {
        wants = context.wants(name) && (only?.has(name) ?? true);
        wanted.set(name, wants);
      }
      if (!wants) continue;
      const images = pages.get(name) ?? [];
      if (images.length === 0) pages.set(name, images);
      images.push(toImage(row, row.image.slice(cut + 1), findings));
    }
    for (const [name, images] of pages) {
      if (!opened.has(name)) {
        opened.set(name, false);
        yield { type: 'repository', repository: name, facts };
      }
      if (images.some(({ tags }) => tags?.includes('latest'))) opened.set(name, true);
      yield { type: 'images', repository: name, images };
    }
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
    for (const name of opened.keys()) yield { type: 'repository-gone', repository: name };
    for (const name of only ?? [])
      if (name.startsWith(prefix) && !opened.has(name)) yield { type: 'repository-gone', repository: name };
    return;
  }
  for (const [name, latest] of opened) {
    const practices = { ...facts.practices, no_latest_tag: !latest };
    yield { type: 'repository-complete', repository: name, facts: { practices } };
  }
  if (seen === 0) yield { type: 'group-empty', prefix };
  else
    for (const name of only ?? [])
      if (name.startsWith(prefix) && !opened.has(name)) yield { type: 'repository-gone', repository: name };
}
