import { CollectError, reasonOf } from '../../errors.ts';
import type { HttpClient } from '../../http.ts';
import type { CollectContext } from '../../provider.ts';
import { createFetch } from './fetch.ts';
import { type AuthHeaders, type HeaderSource, impersonate } from './impersonation.ts';

/** Whoever asks Google's APIs; tokens are renewed before they end. */
export interface Credentials {
  headers(): Promise<AuthHeaders>;
  /** The server refused these headers: the next ones are made anew, from files that may have changed. */
  refused(headers: AuthHeaders): void;
}

export interface CredentialOptions {
  readonly credentialsFile?: string | undefined;
  readonly impersonatedServiceAccount?: string | undefined;
  readonly iamCredentialsEndpoint?: URL | undefined;
}

export type CredentialContext = Pick<CollectContext, 'session' | 'signal' | 'connection'>;

/** Kept as long as the registry's loop runs. */
interface Kept {
  /** That of the cycle: tokens are asked for through it. */
  http: HttpClient;
  source: Promise<HeaderSource> | undefined;
  last: AuthHeaders | undefined;
}

const scope = 'https://www.googleapis.com/auth/cloud-platform';

/** Where the library always gets tokens for keys and users, whatever their file says. */
const usualTokenUrl = 'https://oauth2.googleapis.com/token';

/**
 * Application default credentials (https://cloud.google.com/docs/authentication/application-default-credentials), or
 * those of a file. A file's `token_uri` is heeded, as Google's libraries for other languages do.
 */
async function openSource(settings: CredentialOptions, kept: Kept): Promise<HeaderSource> {
  const { GoogleAuth, gcpMetadata } = await import('google-auth-library');
  // A metadata server that was not there when the pod started would else be missing for ever.
  gcpMetadata.resetIsAvailableCache();
  let tokenUri: string | undefined;
  const clientOptions = {
    transporterOptions: {
      fetchImplementation: createFetch({
        http: () => kept.http,
        operationOf: () => 'token',
        rewrite: (url) => (url === usualTokenUrl ? (tokenUri ?? url) : url),
      }),
    },
  };
  // With a project, the library does not look for one with gcloud and the metadata server.
  const auth = new GoogleAuth({ projectId: 'unused', scopes: [scope], clientOptions });
  // Not its option keyFilename, which warns on the console.
  const client = settings.credentialsFile
    ? await auth._getApplicationCredentialsFromFilePath(settings.credentialsFile, clientOptions)
    : await auth.getClient();
  if (settings.credentialsFile && 'scopes' in client) client.scopes = [scope];
  const { token_uri: uri } = (auth.jsonContent ?? {}) as { token_uri?: unknown };
  if (typeof uri === 'string') tokenUri = uri;
  // Clients of external accounts make one of their own for the token exchange.
  const { stsCredential } = client as unknown as { stsCredential?: { transporter: unknown } };
  if (stsCredential) stsCredential.transporter = client.transporter;
  const own: HeaderSource = async () => Object.fromEntries(await client.getRequestHeaders());
  const target = settings.impersonatedServiceAccount;
  return target === undefined
    ? own
    : impersonate({
        source: own,
        target,
        scope,
        http: () => kept.http,
        endpoint: settings.iamCredentialsEndpoint,
      });
}

/** What went wrong, without anything that a credentials file holds. */
function explained(error: unknown): CollectError {
  if (error instanceof CollectError) return error;
  const { message = String(error), status, cause } = error as Error & { status?: unknown };
  if (cause instanceof CollectError) return cause;
  // V8 quotes the text that it cannot parse: neither its message nor the error itself goes further.
  const unparsed = error instanceof SyntaxError;
  const said = unparsed ? 'the credentials file is no JSON' : message.slice(0, 300);
  const failure = reasonOf(error);
  const reason =
    typeof status === 'number' && status >= 500
      ? 'server_error'
      : status === 429
        ? 'throttled'
        : failure === 'internal'
          ? 'auth'
          : failure;
  return new CollectError(
    reason,
    `no credentials for Google: ${said}: set credentialsFile, GOOGLE_APPLICATION_CREDENTIALS or workload identity, see docs/providers/artifact-registry.md`,
    unparsed ? {} : { cause: error },
  );
}

/** Whatever comes first: the library's own waits know no signal. */
function within<T>(work: Promise<T>, signal: AbortSignal, timeoutMs: number): Promise<T> {
  const deadline = AbortSignal.timeout(timeoutMs);
  const limit = AbortSignal.any([signal, deadline]);
  return new Promise((resolve, reject) => {
    const onAbort = () =>
      reject(
        signal.aborted
          ? signal.reason
          : new CollectError('timeout', `no token from Google's servers within ${timeoutMs} ms`),
      );
    if (limit.aborted) return onAbort();
    limit.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => limit.removeEventListener('abort', onAbort));
  });
}

/** The credentials of one registry's loop, through the connections of this cycle. */
export function openCredentials(
  settings: CredentialOptions,
  context: CredentialContext,
  http: HttpClient,
): Credentials {
  const { session, signal, connection } = context;
  const kept = session.keep<Kept>('google credentials', () => ({ http, source: undefined, last: undefined }));
  kept.http = http;
  const read = async (): Promise<AuthHeaders> => {
    kept.source ??= openSource(settings, kept);
    const source = await kept.source;
    return source();
  };
  return {
    async headers() {
      try {
        kept.last = await within(read(), signal, connection.timeoutMs);
        return kept.last;
      } catch (error) {
        // What hangs or failed is not asked again: a new start may find another file, or a server that is back.
        kept.source = undefined;
        signal.throwIfAborted();
        throw explained(error);
      }
    },
    refused(headers) {
      // Others that were refused with the same token find it gone already.
      if (headers['authorization'] !== kept.last?.['authorization']) return;
      kept.source = undefined;
      kept.last = undefined;
    },
  };
}
