import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { PemSettings } from '../../http/tls.ts';
import { changingFile, fileSecret, plainSecret } from '../../secret.ts';
import type { SourceAuth } from '../settings.ts';

/** What a kubeconfig says of one context. */
export interface ClusterAccess {
  /** Address of the API server, without a slash at its end. */
  readonly base: string;
  readonly auth: SourceAuth;
  readonly pem: PemSettings;
}

const text = z
  .string()
  .min(1)
  .max(2 ** 16);
/** https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ */
const cluster = z.object({
  server: z.url({ protocol: /^https?$/ }),
  'certificate-authority': text.optional(),
  'certificate-authority-data': text.optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
});
const user = z.object({
  token: text.optional(),
  tokenFile: text.optional(),
  username: text.optional(),
  password: text.optional(),
  'client-certificate': text.optional(),
  'client-certificate-data': text.optional(),
  'client-key': text.optional(),
  'client-key-data': text.optional(),
  exec: z.unknown().optional(),
  'auth-provider': z.unknown().optional(),
});
const name = z.string();
const kubeconfig = z.object({
  'current-context': name.optional(),
  clusters: z.array(z.object({ name, cluster })).default([]),
  users: z.array(z.object({ name, user })).default([]),
  contexts: z
    .array(z.object({ name, context: z.object({ cluster: name, user: name.default('') }) }))
    .default([]),
});
type User = z.output<typeof user>;
type Kubeconfig = z.output<typeof kubeconfig>;

const largestFile = 2 ** 20;

async function load(path: string): Promise<Kubeconfig> {
  const refuse = (problem: string, cause?: unknown) =>
    new CollectError('configuration', `the kubeconfig ${path} ${problem}`, { cause });
  const content = await changingFile(path, largestFile, refuse).read();
  let document: unknown;
  try {
    document = parse(content, { maxAliasCount: 0 });
  } catch {
    // What the parser says repeats parts of the file.
    throw refuse('is no YAML');
  }
  const read = kubeconfig.safeParse(document);
  if (!read.success)
    throw refuse(
      `is none: ${read.error.issues[0]?.path.join('.')} ${read.error.issues[0]?.message}`.slice(0, 300),
    );
  return read.data;
}

function authOf({ token, tokenFile, username, password }: User, folder: string): SourceAuth {
  if (token !== undefined) return { token: plainSecret(token) };
  if (tokenFile !== undefined)
    return { token: fileSecret(resolve(folder, tokenFile), { setting: 'tokenFile' }) };
  return username !== undefined && password !== undefined
    ? { username, password: plainSecret(password) }
    : {};
}

/** The text of `…-data`, or of the file beside it; paths are relative to the kubeconfig. */
async function pemOf(
  data: string | undefined,
  file: string | undefined,
  folder: string,
): Promise<string | undefined> {
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  if (file === undefined) return undefined;
  const refuse = (problem: string, cause?: unknown) =>
    new CollectError('configuration', `${file}, which the kubeconfig names, ${problem}`, { cause });
  return changingFile(resolve(folder, file), largestFile, refuse).read();
}

/** The entry of a name. @throws CollectError where there is none */
function entryOf<Entry extends { readonly name: string }>(
  all: readonly Entry[],
  wanted: string,
  what: string,
): Entry {
  const named = all.find((entry) => entry.name === wanted);
  if (named) return named;
  throw new CollectError('configuration', `the ${what} ${JSON.stringify(wanted)} is not there`);
}

/**
 * How the kubeconfig reaches a cluster. It is read anew each time, with the files that it names.
 * @param context the current one without it
 * @throws CollectError `configuration`
 */
export async function readKubeconfig(path: string, context: string | undefined): Promise<ClusterAccess> {
  const config = await load(path);
  const what = (kind: string) => `${kind} of the kubeconfig ${path}`;
  const chosen = entryOf(
    config.contexts,
    context ?? config['current-context'] ?? '',
    what('context'),
  ).context;
  const server = entryOf(config.clusters, chosen.cluster, what('cluster')).cluster;
  const who = chosen.user === '' ? {} : entryOf(config.users, chosen.user, what('user')).user;
  if (who.exec !== undefined || who['auth-provider'] !== undefined)
    throw new CollectError(
      'configuration',
      `the user of the kubeconfig ${path} runs a program for its token, which the exporter does not: give it a token of a service account`,
    );
  const folder = dirname(path);
  return {
    base: server.server.replace(/\/+$/, ''),
    auth: authOf(who, folder),
    pem: {
      ca: await pemOf(server['certificate-authority-data'], server['certificate-authority'], folder),
      cert: await pemOf(who['client-certificate-data'], who['client-certificate'], folder),
      key: await pemOf(who['client-key-data'], who['client-key'], folder),
      insecureSkipVerify: server['insecure-skip-tls-verify'] === true,
    },
  };
}
