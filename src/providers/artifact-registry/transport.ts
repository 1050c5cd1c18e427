import type { CallOptions } from 'google-gax';
import { reasonOf } from '../../errors.ts';
import type { HttpClient, HttpRequest, HttpResponse } from '../../http.ts';
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
  /** One question over REST, in the same way. @param path below the service's address, as of the public API */
  get(
    operation: string,
    service: Service,
    path: string,
    query: Readonly<Record<string, string>>,
    more?: Pick<HttpRequest, 'aside'>,
  ): Promise<HttpResponse>;
  /** One command over REST, in the same way; it may be sent twice. */
  post(operation: string, service: Service, path: string, body: object): Promise<HttpResponse>;
  /** One call: authorized, limited, timed, repeated and counted. @throws CollectError */
  call<T>(operation: string, service: Service, send: (options: CallOptions) => Promise<T>): Promise<T>;
}

/** So often in a row is a token taken for expired, when the server refuses new ones too. */
const renewals = 3;

export function createTransport(options: {
  readonly credentials: Credentials;
  readonly http: HttpClient;
  readonly context: PlacesContext;
}): Transport {
  const { credentials, http, context } = options;
  const { connection, signal } = context;
  const calls = context.calls();

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
    get: (operation, target, path, query, more) =>
      authorized(target, async (headers) => {
        const url = new URL(`${target.url.href.replace(/\/$/, '')}${path}`);
        for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
        const response = await http.request({
          ...more,
          url,
          operation,
          headers: { accept: 'application/json', ...headers },
          accept: [403],
        });
        if (response.status === 403) throw forbidden(operation, response);
        return response;
      }),
    post: (operation, target, path, body) =>
      authorized(target, async (headers) => {
        const response = await http.request({
          method: 'POST',
          idempotent: true,
          url: new URL(`${target.url.href.replace(/\/$/, '')}${path}`),
          operation,
          headers: { accept: 'application/json', 'content-type': 'application/json', ...headers },
          body: JSON.stringify(body),
          accept: [403],
        });
        if (response.status === 403) throw forbidden(operation, response);
        return response;
      }),
    call: (operation, target, send) =>
      authorized(target, (headers) => once(operation, target, headers, send)),
  };
}
