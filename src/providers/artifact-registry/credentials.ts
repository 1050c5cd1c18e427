import { CollectError, type FailureReason, reasonOf } from '../../errors.ts';
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

/** The library's guess at why a metadata server refused, before what that said itself. */
const guess =
  /^Could not refresh access token: A (?:Forbidden|Not Found) error .* permission scopes specified: /s;

/** What the token server said, as far as that is known. V8 quotes what it could not use: that may be a token. */
function saidBy(error: unknown): string {
  if (error instanceof SyntaxError) return 'the credentials file is no JSON';
  if (error instanceof TypeError) return 'what answers as token server is none';
  const message = error instanceof Error ? error.message : String(error);
  const { error: code, error_description: description } = oauthError(message);
  const said =
    code === undefined ? message.replace(guess, '') : [code, description].filter(Boolean).join(' ');
  return said.replace(/\s+/g, ' ').trim().slice(0, 300);
}

/** https://datatracker.ietf.org/doc/html/rfc6749#section-5.2, as the library puts it into its message. */
function oauthError(message: string): { readonly error?: unknown; readonly error_description?: unknown } {
  if (!message.startsWith('{')) return {};
  try {
    return JSON.parse(message);
  } catch {
    return {};
  }
}

/** What to do, by what was said. */
function adviceOn(said: string, reason: FailureReason): string {
  if (reason !== 'auth') return 'the token server did not answer as it should: the next poll asks it again';
  // https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity#authenticating_to
  if (said.includes('getAccessToken'))
    return 'let the workload act as the service account: roles/iam.workloadIdentityUser on it';
  // https://cloud.google.com/docs/authentication/troubleshoot-adc
  if (/invalid_grant|invalid_rapt|invalid_client|unauthorized_client/.test(said))
    return 'the token server refuses these credentials: renew or replace them, or mend the federation';
  if (/^Could not refresh access token: Not Found/.test(said))
    return 'the machine or pod has no service account: give it one, or set credentialsFile';
  return 'set credentialsFile, GOOGLE_APPLICATION_CREDENTIALS or workload identity';
}

/** What a failure of the library means: where it was the way to the token server, the credentials are as good as ever. */
function reasonOfLibrary(error: unknown): FailureReason {
  const { status, message = '' } = error as { status?: unknown; message?: string };
  if (typeof status === 'number' && status >= 500) return 'server_error';
  if (status === 429) return 'throttled';
  const failure = reasonOf(error);
  if (failure !== 'internal') return failure;
  return /aborted due to timeout/.test(message) ? 'timeout' : 'auth';
}

/** What went wrong, without anything that a credentials file holds. */
function explained(error: unknown): CollectError {
  if (error instanceof CollectError) return error;
  const { cause } = error as { cause?: unknown };
  if (cause instanceof CollectError) return cause;
  const said = saidBy(error);
  const reason = reasonOfLibrary(error);
  // The library's error itself goes no further: it says the same, or quotes what must not be shown.
  return new CollectError(
    reason,
    `no credentials for Google: ${said}: ${adviceOn(said, reason)}, see docs/providers/artifact-registry.md`,
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
