import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { CallOptions, GoogleAuth, grpc } from 'google-gax';
import { reasonOf } from '../../errors.ts';
import { certificates, clientCertificate } from '../../http/tls.ts';
import type { HttpClient, HttpResponse } from '../../http.ts';
import type { PlacesContext } from '../../provider.ts';
import type { Credentials } from './credentials.ts';
import { codeOf, forbidden, toCollectError } from './errors.ts';

/** Where one of Google's APIs is. */
export interface Service {
  readonly url: URL;
  /** A plain address, as of an emulator or a proxy that authenticates by itself, is sent no credentials. */
  readonly secure: boolean;
}

export const service = (url: URL): Service => ({ url, secure: url.protocol === 'https:' });

/** How the SDK's clients reach the APIs: gRPC by itself, REST over the exporter's HTTP client. */
export interface Transport {
  /** Options of the SDK's client constructors. */
  clientOptions(service: Service): Promise<Record<string, object | string | number>>;
  /** One question over REST, in the same way. @param path below the service's address, as of the public API */
  get(
    operation: string,
    service: Service,
    path: string,
    query: Readonly<Record<string, string>>,
  ): Promise<HttpResponse>;
  /** One call: authorized, limited, timed, repeated and counted. @throws CollectError */
  call<T>(operation: string, service: Service, send: (options: CallOptions) => Promise<T>): Promise<T>;
}

/** So often in a row is a token taken for expired, when the server refuses new ones too. */
const renewals = 3;

/** The host where it is an IP address. */
function addressOf({ hostname }: URL): string | undefined {
  const bare = hostname.replace(/^\[|\]$/g, '');
  return isIP(bare) ? bare : undefined;
}

/** grpc-js reads the lower-case names only; https://github.com/grpc/grpc-node/blob/master/doc/environment_variables.md */
function heedProxyVariables(): void {
  const { env } = process;
  for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY']) {
    const value = env[name];
    if (value !== undefined && env[name.toLowerCase()] === undefined) env[name.toLowerCase()] = value;
  }
}

interface KnownTls {
  /** The files' contents. */
  readonly made: string;
  readonly credentials: grpc.ChannelCredentials;
}

const bytes = (text: string | null | undefined): Buffer | null => (text ? Buffer.from(text) : null);

/** The SDK has the headers given with each call; it is to look for none by itself. */
const noAuth = {
  getClient: async () => ({}),
  getUniverseDomain: async () => undefined,
} as unknown as GoogleAuth;

export function createTransport(options: {
  readonly credentials: Credentials;
  readonly http: HttpClient;
  readonly context: PlacesContext;
}): Transport {
  const { credentials, http, context } = options;
  const { connection, session, signal } = context;
  const calls = context.calls();

  async function sslCredentials({ url, secure }: Service): Promise<grpc.ChannelCredentials> {
    const { default: gax } = await import('google-gax');
    const { credentials: make } = gax.grpc;
    if (!secure) return make.createInsecure();
    const { caFile, insecureSkipVerify } = connection;
    const roots = caFile === undefined ? null : certificates(caFile).join('\n');
    const own = clientCertificate(connection);
    const made = JSON.stringify([roots, own]);
    const known = session.keep('google tls', () => new Map<string, KnownTls>());
    const kept = known.get(url.host);
    // Reading some 150 certificates holds the event loop for 10 ms.
    if (kept && kept.made === made) return kept.credentials;
    const address = addressOf(url);
    const credentials = make.createSsl(bytes(roots), bytes(own?.key), bytes(own?.cert), {
      ...(insecureSkipVerify && { rejectUnauthorized: false }),
      ...(address !== undefined && {
        checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
          checkServerIdentity(address, certificate),
      }),
    });
    known.set(url.host, { made, credentials });
    return credentials;
  }

  async function clientOptions(target: Service): Promise<Record<string, object | string | number>> {
    const { url, secure } = target;
    const where = { servicePath: url.hostname, port: Number(url.port) || (secure ? 443 : 80) };
    heedProxyVariables();
    return {
      ...where,
      auth: noAuth,
      sslCreds: await sslCredentials(target),
      // Node refuses an address as the name that TLS asks for, which grpc-js would send: the certificate is still
      // checked against the address.
      ...(addressOf(url) !== undefined && { 'grpc.ssl_target_name_override': 'localhost' }),
      'grpc.max_receive_message_length': connection.maxBytes,
      // Attempts are repeated and counted here.
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2000,
    };
  }

  async function once<T>(
    operation: string,
    { url }: Service,
    headers: Readonly<Record<string, string>>,
    send: (options: CallOptions) => Promise<T>,
  ): Promise<T> {
    const attempt = async (ends: Pick<CallOptions, 'timeout' | 'signal'>): Promise<T> => {
      try {
        return await send({
          ...ends,
          autoPaginate: false,
          retry: { retryCodes: [] } as unknown as NonNullable<CallOptions['retry']>,
          otherArgs: { headers: { ...headers } },
        });
      } catch (error) {
        throw toCollectError(operation, url.host, error);
      }
    };
    return calls.call({
      operation,
      host: url.host,
      attempt: (limit) => attempt({ timeout: connection.timeoutMs, signal: limit }),
      codeOf,
    });
  }

  /** Asks again with new credentials where they were refused. */
  async function authorized<T>(
    { secure }: Service,
    ask: (headers: Readonly<Record<string, string>>) => Promise<T>,
  ): Promise<T> {
    for (let renewed = 0; ; renewed += 1) {
      const headers = secure ? await credentials.headers() : {};
      try {
        return await ask(headers);
      } catch (error) {
        if (signal.aborted || reasonOf(error) !== 'auth' || !secure || renewed >= renewals) throw error;
        credentials.refused(headers);
      }
    }
  }

  return {
    clientOptions,
    get: (operation, target, path, query) =>
      authorized(target, async (headers) => {
        const url = new URL(`${target.url.href.replace(/\/$/, '')}${path}`);
        for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
        const response = await http.request({
          url,
          operation,
          headers: { accept: 'application/json', ...headers },
          accept: [403],
        });
        if (response.status === 403) throw forbidden(operation, response);
        return response;
      }),
    call: (operation, target, send) =>
      authorized(target, (headers) => once(operation, target, headers, send)),
  };
}
