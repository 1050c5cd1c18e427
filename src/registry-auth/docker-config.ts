import { z } from 'zod';
import { CollectError } from '../errors.ts';
import { changingFile } from '../secret.ts';
import { helperCredentials, isHelperName } from './credential-helper.ts';
import type { Credentials, DockerConfig } from './credentials.ts';

/** The file is good, but has no credentials for what was asked. */
export class NoEntry extends CollectError {}

const text = z.string().optional().catch(undefined);
const entry = z.object({ auth: text, username: text, password: text, identitytoken: text });
type Entry = z.infer<typeof entry>;
const file = z.object({
  // An entry that is none hides no other.
  auths: z.record(z.string(), entry.catch({})).nullish(),
  credHelpers: z.record(z.string(), z.string()).nullish(),
  credsStore: z.string().nullish(),
});
type File = z.infer<typeof file>;

/** Of a file with an entry for each of many thousand paths. */
const largestBytes = 2 ** 20;

/** Names of Docker Hub. */
const hubHosts = ['index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'];
const hubKey = 'https://index.docker.io/v1/';

/** A host with its port, as it is written in the file and in addresses: without what is the scheme's own. */
function hostOf(host: string, protocol: string): string {
  const bare = host.toLowerCase().replace(protocol === 'http:' ? /:80$/ : /:443$/, '');
  return hubHosts.includes(bare) ? 'docker.io' : bare;
}

/** A key of `auths`: host, path, and whether it was written as an address. */
function parseKey(key: string, protocol: string) {
  const [, scheme, host = '', rest = ''] = /^(https?:\/\/)?([^/]*)(.*)$/s.exec(key) ?? [];
  const path = rest.replace(/^\/v[12](?=\/|$)/, '').replace(/^\/+|\/+$/g, '');
  return { host: hostOf(host, protocol), path, isAddress: scheme !== undefined };
}

const credentialsIn = ({ auth, username, password, identitytoken }: Entry): Credentials | undefined => {
  if (identitytoken) return { identityToken: identitytoken };
  if (username && password !== undefined) return { username, password };
  // docker itself pads the password with NUL bytes in places.
  const decoded = Buffer.from(auth ?? '', 'base64')
    .toString('utf8')
    .replace(/\0+$/, '');
  const colon = decoded.indexOf(':');
  return colon > 0 ? { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) } : undefined;
};

/** Compares two lists of numbers by the first that differs. */
function compareRanks(a: readonly number[], b: readonly number[]): number {
  const differences = a.map((number, at) => number - (b[at] ?? 0));
  return differences.find((difference) => difference !== 0) ?? 0;
}

/** Whether a path lies at or below another, segment by segment. */
const covers = (above: string, path: string): boolean =>
  above === '' || path === above || path.startsWith(`${above}/`);

/**
 * Whether a key's host is for a registry's. The kubelet takes `*` in a key for any characters of one part of the name:
 * `*.example.com` is for `a.example.com`, and neither for `example.com` nor for `a.b.example.com`. The port has no `*`.
 * https://kubernetes.io/docs/concepts/containers/images/#config-json
 */
function isForHost(pattern: string, host: string): boolean {
  if (!pattern.includes('*')) return pattern === host;
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^.:]*')}$`).test(host);
}

/**
 * The entry of `auths` for a path of a host: the longest that covers it, as podman and the kubelet choose, and a host by
 * its own name before one with `*`. One that was written as an address with a path which covers nothing stands for its
 * host, as docker reads it.
 * https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
function entryFor(auths: NonNullable<File['auths']>, endpoint: URL, paths: readonly string[]) {
  const ours = hostOf(endpoint.host, endpoint.protocol);
  const candidates = Object.entries(auths).flatMap(([key, value]) => {
    const { host, path, isAddress } = parseKey(key, endpoint.protocol);
    const credentials = isForHost(host, ours) ? credentialsIn(value) : undefined;
    const coversPath = paths.some((prefix) => covers(path, prefix));
    if (!credentials || !(coversPath || isAddress)) return [];
    return { credentials, rank: [Number(host === ours), coversPath ? path.length : -1, host.length] };
  });
  return candidates.toSorted((a, b) => compareRanks(b.rank, a.rank))[0]?.credentials;
}

/** @param allowHelpers whether programs that the file names may be run */
export function openDockerConfig(path: string, allowHelpers = false): DockerConfig {
  const refuse = (problem: string, cause?: unknown) =>
    new CollectError('auth', `the docker configuration ${path} ${problem}`, { cause });
  const source = changingFile(path, largestBytes, refuse);
  let parsed: { readonly text: string; readonly content: File } | undefined;

  async function read(): Promise<File> {
    const content = await source.read();
    try {
      if (parsed?.text !== content)
        parsed = { text: content, content: file.parse(JSON.parse(content.replace(/^\uFEFF/, ''))) };
      return parsed.content;
    } catch {
      // What the parser says repeats pieces of the file.
      throw refuse('cannot be read as JSON with auths');
    }
  }

  async function ask(helper: string | null | undefined, server: string): Promise<Credentials | undefined> {
    if (!allowHelpers || !helper) return undefined;
    if (!isHelperName(helper)) throw refuse('names a credential helper that is no name');
    return helperCredentials(helper, server);
  }

  return {
    async credentials(endpoint, repository) {
      const { auths, credHelpers, credsStore } = await read();
      const host = hostOf(endpoint.host, endpoint.protocol);
      const isOurs = (key: string) => parseKey(key, endpoint.protocol).host === host;
      const prefix = endpoint.pathname.replace(/^\/+|\/+$/g, '');
      const paths = [repository ?? '', [prefix, repository].filter(Boolean).join('/')];
      const [server = '', own] = Object.entries(credHelpers ?? {}).find(([key]) => isOurs(key)) ?? [];
      // docker leaves an empty entry under the name that its store knows the host by.
      const stored = Object.keys(auths ?? {}).find(isOurs) ?? (host === 'docker.io' ? hubKey : host);
      const credentials =
        (await ask(own, server)) ?? entryFor(auths ?? {}, endpoint, paths) ?? (await ask(credsStore, stored));
      if (credentials) return credentials;
      const wanted = [host, repository].filter((part) => part !== undefined).join('/');
      throw new NoEntry(
        'auth',
        `the docker configuration ${path} has no credentials for ${wanted} under auths${instead(own ?? credsStore)}`,
      );
    },
  };

  function instead(helper: string | null | undefined): string {
    if (!helper) return '';
    return allowHelpers
      ? `, and the credential helper docker-credential-${helper} has none either`
      : `: they are with the credential helper docker-credential-${helper}, a program that is run where auth.allowCredentialHelpers is true`;
  }
}
