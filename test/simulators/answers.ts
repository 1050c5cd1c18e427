import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { IncomingMessage, OutgoingHttpHeader, ServerResponse } from 'node:http';

/** What was asked of a simulator, and its answer just before it goes to the socket. */
export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly port: number;
  readonly asked: { readonly headers: IncomingMessage['headers']; readonly body: Buffer };
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** What goes to the socket in place of an answer; what is left out stays as it was. */
export interface Replacement {
  readonly status?: number;
  /** All of them. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** No answer at all: the client waits. */
  readonly hangs?: true;
}

/** Who looks at answers. */
export interface Rewriter {
  answer(exchange: Exchange): Replacement | undefined;
  /** The address that the simulator is to see in place of the one that was asked. */
  asked?(url: string): string;
}

const rewriters = new Set<Rewriter>();

let madeMs = 0;
/** How long simulators have taken to make answers: whoever measures the exporter in their process leaves it out. */
export const answersTookMs = (): number => madeMs;

/** Makes an answer, or a part of it. */
export function making<T>(make: () => T): T {
  const began = performance.now();
  try {
    return make();
  } finally {
    madeMs += performance.now() - began;
  }
}

/** What is to go out instead of an answer. Simulators whose answers are no HTTP/1.1 call it themselves. */
export function replacementOf(exchange: Exchange): Replacement | undefined {
  for (const rewriter of rewriters) {
    const found = rewriter.answer(exchange);
    if (found) return found;
  }
  return undefined;
}

/**
 * Shows every answer of every HTTP/1.1 server of this process to a rewriter, which may replace it: whatever the vendor,
 * and behind TLS and signatures, which nothing between client and server could read or keep valid.
 * @returns what ends it
 */
export function rewriteAnswers(rewriter: Rewriter): () => void {
  if (rewriters.size === 0) subscribe('http.server.request.start', hold);
  rewriters.add(rewriter);
  return () => {
    rewriters.delete(rewriter);
    if (rewriters.size === 0) unsubscribe('http.server.request.start', hold);
  };
}

/** Holds an answer back until it is whole. */
function hold(message: unknown): void {
  const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
  for (const { asked: translate } of rewriters) if (translate) request.url = translate(request.url ?? '/');
  const asked: Buffer[] = [];
  const push = request.push.bind(request);
  request.push = (piece: Buffer | null, encoding?: BufferEncoding) => {
    if (piece) asked.push(piece);
    return push(piece, encoding);
  };
  const { writeHead, end } = response;
  const pieces: Buffer[] = [];
  const keep = (piece: unknown): void => {
    if (typeof piece === 'string' || piece instanceof Uint8Array) pieces.push(Buffer.from(piece as string));
  };
  let status = 200;
  const headers: Record<string, string> = {};
  const take = (given: unknown): void => {
    for (const [name, value] of Object.entries((given ?? {}) as Record<string, OutgoingHttpHeader>))
      if (value !== undefined) headers[name.toLowerCase()] = String(value);
  };
  response.writeHead = ((code: number, ...rest: unknown[]) => {
    status = code;
    take(rest.at(-1));
    return response;
  }) as typeof response.writeHead;
  response.write = ((piece: unknown) => {
    keep(piece);
    return true;
  }) as typeof response.write;
  response.end = ((piece?: unknown) => {
    keep(piece);
    const early = response.getHeaders();
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    const given = { ...headers };
    take(early);
    take(given);
    const answer = {
      status: status === 200 ? response.statusCode : status,
      headers,
      body: Buffer.concat(pieces),
    };
    const replaced = making(() =>
      replacementOf({
        method: request.method ?? 'GET',
        url: request.url ?? '/',
        port: request.socket.localPort ?? 0,
        asked: { headers: request.headers, body: Buffer.concat(asked) },
        ...answer,
      }),
    );
    if (replaced?.hangs) return response;
    const { 'content-length': length, ...others } = replaced?.headers ?? headers;
    const body = replaced?.body ?? answer.body;
    writeHead.call(response, replaced?.status ?? answer.status, {
      ...others,
      // The length of an answer to HEAD is that of what GET would answer.
      ...(length !== undefined && { 'content-length': request.method === 'HEAD' ? length : body.length }),
    });
    return (end as (body: Buffer) => ServerResponse).call(response, body);
  }) as typeof response.end;
}
