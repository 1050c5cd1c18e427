import type { HttpClient, HttpResponse } from '../../http.ts';

/** Statuses are judged by whoever asked, not here. */
const anyStatus = Array.from({ length: 300 }, (_, at) => 300 + at);

/** The part of a request that Google's libraries give to `fetch`. */
interface FetchRequest {
  readonly method?: string | undefined;
  readonly headers?: ConstructorParameters<typeof Headers>[0];
  readonly body?: unknown;
}

function responseOf({ status, headers, body }: HttpResponse): Response {
  const answered = new Headers();
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && name !== 'content-encoding' && name !== 'content-length')
      answered.set(name, String(value));
  const empty = status === 204 || status === 304;
  return new Response(empty ? null : new Uint8Array(body), { status, headers: answered });
}

/** Google's libraries over this exporter's own connections: its proxy, certificates, limits, deadlines and counts. */
export function createFetch(options: {
  /** That of the cycle. */
  http(): HttpClient;
  operationOf(url: URL): string;
  /** An address in place of another. */
  rewrite?(url: string): string;
}): typeof fetch {
  const { http, operationOf, rewrite } = options;
  return async (input, init) => {
    const { method = 'GET', headers, body } = (init ?? {}) as FetchRequest;
    const asked = input instanceof Request ? input.url : String(input);
    const url = new URL(rewrite?.(asked) ?? asked);
    const response = await http().request({
      method: method.toUpperCase() === 'POST' ? 'POST' : 'GET',
      url,
      headers: Object.fromEntries(new Headers(headers)),
      operation: operationOf(url),
      accept: anyStatus,
      ...(body !== undefined && body !== null && { body: String(body) }),
    });
    return responseOf(response);
  };
}
