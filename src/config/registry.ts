import { randomBytes } from 'node:crypto';
import picomatch from 'picomatch';
import type { z } from 'zod';
import type { RegistrySettings } from '../loop/settings.ts';
import { checkTls } from '../options.ts';
import type { Provider } from '../provider.ts';
import type { When } from '../schedule.ts';
import { fileSecret, plainSecret } from '../secret.ts';
import { longestGap } from './gap.ts';
import { commonKeys, type createConfigSchema, shortestEventsToken } from './schema.ts';

/** A registry as configured: everything is resolved, nothing is optional that has a default. */
export interface RegistryConfig extends RegistrySettings {
  readonly type: string;
  /** The registry's part of the document as it was written, to see whether a reload changes it. */
  readonly source: string;
  /** Present for an entry that covers several registries, each of which gets a name of its own. */
  readonly places?: { readonly nameTemplate?: string; readonly intervalMs?: number };
}

type Document = z.infer<ReturnType<typeof createConfigSchema>>;
type Entry = Document['registries'][number];
type Defaults = NonNullable<Document['defaults']>;

interface Surroundings {
  readonly defaults: Defaults;
  readonly provider: Provider;
  /** The entry as it was written. */
  readonly source: string;
  /** Takes note of a mistake; the path begins within the entry. */
  refuse(path: readonly PropertyKey[], message: string): void;
}

const defaultInterval: When = { cron: '*/5 * * * *' };

/** Which repositories an entry asks for. Without `include` that is all; not the pattern **, which leaves out names with a line break. */
function wantsOf({ repositories }: Entry): (repository: string) => boolean {
  const { include, exclude = [] } = repositories ?? {};
  const included = include ? picomatch(include, { dot: true }) : () => true;
  const excluded = exclude.length > 0 ? picomatch(exclude, { dot: true }) : () => false;
  return (repository) => included(repository) && !excluded(repository);
}

function httpOf({ http = {}, tls = {} }: Entry, { provider, refuse }: Surroundings): RegistryConfig['http'] {
  checkTls(tls, (path, message) => refuse(['tls', ...path], message));
  const usual = provider.http ?? {};
  const requestsPerSecond = http.requestsPerSecond ?? usual.requestsPerSecond;
  return {
    maxConcurrent: http.maxConcurrent ?? usual.maxConcurrent ?? 8,
    timeoutMs: http.timeout ?? 30_000,
    maxBytes: http.maxBytes ?? 32 * 2 ** 20,
    retries: http.retries ?? 4,
    requestsPerSecond,
    ...tls,
  };
}

function retentionOf({ retention }: Entry): Pick<RegistryConfig, 'retention'> {
  if (!retention) return {};
  const { keepLast, maxAge, untaggedMaxAge } = retention;
  return {
    retention: {
      keepLast,
      maxAgeSeconds: maxAge && maxAge / 1000,
      untaggedMaxAgeSeconds: untaggedMaxAge && untaggedMaxAge / 1000,
    },
  };
}

/** The secret that push events carry, held to its least length wherever it is written. */
function eventsTokenOf(
  { events }: Entry,
  refuse: Surroundings['refuse'],
): Pick<RegistryConfig, 'eventsToken'> {
  const { token, tokenFile } = events ?? {};
  if (token !== undefined && tokenFile !== undefined)
    refuse(['events', 'tokenFile'], 'is given besides token: keep one of the two');
  if (token !== undefined) return { eventsToken: plainSecret(token) };
  if (tokenFile !== undefined)
    return {
      eventsToken: fileSecret(tokenFile, { setting: 'events.tokenFile', minLength: shortestEventsToken }),
    };
  // Nobody knows it: only what Google signs is let in.
  if (events?.oidc) return { eventsToken: plainSecret(randomBytes(32).toString('hex')) };
  if (events) refuse(['events'], 'events need a token or tokenFile');
  return {};
}

/** Who may send push events with a token that Google signs. */
function eventsOidcOf({ events }: Entry, http: RegistryConfig['http']): Pick<RegistryConfig, 'eventsOidc'> {
  if (!events?.oidc) return {};
  const {
    audience,
    email,
    certificates = new URL('https://www.googleapis.com/oauth2/v1/certs'),
  } = events.oidc;
  return { eventsOidc: { audience, email, certificates, http } };
}

/** What names registries of an entry that covers several. */
function placesOf(
  entry: Entry,
  own: unknown,
  { provider, refuse }: Surroundings,
): Pick<RegistryConfig, 'places'> {
  const { nameTemplate, placesInterval } = entry;
  const variables = ['name', ...(provider.placeValues ?? [])];
  for (const [, variable = ''] of nameTemplate?.matchAll(/\{([^{}]*)\}/g) ?? [])
    if (!variables.includes(variable))
      refuse(
        ['nameTemplate'],
        `there is no {${variable}}: use ${variables.map((name) => `{${name}}`).join(', ')}`,
      );
  if (!provider.places?.(own)) {
    if (nameTemplate !== undefined)
      refuse(['nameTemplate'], 'has no effect: the entry is one registry, with the name that it is given');
    return {};
  }
  return {
    places: {
      nameTemplate,
      intervalMs: placesInterval,
    },
  };
}

/** An entry of the configuration with its defaults. */
export function resolveRegistry(entry: Entry, surroundings: Surroundings): RegistryConfig {
  const { defaults, provider, source, refuse } = surroundings;
  const when = entry.schedule ?? defaults.schedule ?? defaultInterval;
  const intervalMs = 'everyMs' in when ? when.everyMs : longestGap(when.cron);
  const selection = { ...defaults.images, ...entry.images };
  const tags = selection.tags ?? [];
  const http = httpOf(entry, surroundings);
  const own = Object.fromEntries(Object.entries(entry).filter(([key]) => !commonKeys.includes(key)));
  for (const { path, message } of provider.check?.(own, entry.events !== undefined) ?? [])
    refuse(path, message);
  return {
    name: entry.name,
    type: entry.type,
    when,
    intervalMs,
    timeoutMs: entry.timeout ?? defaults.timeout ?? 240_000,
    staleAfterMs: entry.staleAfter ?? defaults.staleAfter ?? Math.max(3 * intervalMs, 900_000),
    maxSeries: entry.maxSeries ?? defaults.maxSeries ?? 200_000,
    images: {
      perRepository: selection.perRepository ?? 3,
      matches: tags.length > 0 ? picomatch(tags, { dot: true }) : () => false,
    },
    ...retentionOf(entry),
    hosts: entry.hosts?.map((host) => (typeof host === 'string' ? { from: host, to: '' } : host)),
    wants: wantsOf(entry),
    include: entry.repositories?.include,
    http,
    ...eventsOidcOf(entry, http),
    options: own,
    ...placesOf(entry, own, surroundings),
    ...eventsTokenOf(entry, refuse),
    source,
  };
}
