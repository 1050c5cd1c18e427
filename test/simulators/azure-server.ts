import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { applyFault, type FaultRule } from './faults.ts';

/** Key and certificate, PEM. */
export interface Tls {
  readonly key: string;
  readonly cert: string;
}

/** What one of Azure's services was asked, and how to answer. */
export interface Exchange {
  readonly method: string;
  readonly url: URL;
  /** Decoded. */
  readonly path: string;
  readonly body: string;
  readonly authorization: string | undefined;
  header(name: string): string | undefined;
  send(status: number, body: object | string | Buffer, headers?: Readonly<Record<string, string>>): void;
}

export interface AzureServer {
  readonly url: string;
  readonly host: string;
  readonly faults: FaultRule[];
  /** Requests by operation since the start. */
  readonly requests: Map<string, number>;
  close(): Promise<void>;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}

/** One of Azure's services on the loopback interface. */
export async function startAzureServer(options: {
  readonly tls?: Tls | undefined;
  readonly port?: number | undefined;
  /** What a request is, for counts and faults; undefined where there is no such thing. */
  route(
    method: string,
    path: string,
  ): { readonly operation: string; readonly repository?: string } | undefined;
  answer(
    exchange: Exchange,
    route: { readonly operation: string; readonly repository?: string },
  ): void | Promise<void>;
  /** The body of an error, in the way of the service. */
  error(code: string, message: string): string;
  /** Headers of a refusal because of too many requests. */
  readonly throttleHeaders?: Readonly<Record<string, string>>;
}): Promise<AzureServer> {
  const { tls, route, answer, error } = options;
  const faults: FaultRule[] = [];
  const requests = new Map<string, number>();
  let url = '';

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? 'GET';
    const parsed = new URL(request.url ?? '/', url);
    const path = decodeURIComponent(parsed.pathname);
    const send: Exchange['send'] = (status, body, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
      response.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
    };
    const found = route(method, path);
    if (!found) return send(404, error('NotFound', `there is no ${method} ${path}`));
    requests.set(found.operation, (requests.get(found.operation) ?? 0) + 1);
    for (const [name, value] of Object.entries(options.throttleHeaders ?? {}))
      response.setHeader(name, value);
    const known = { operation: found.operation, repository: found.repository };
    if (await applyFault(faults, known, request, response, error('TooManyRequests', 'slow down'))) return;
    for (const name of Object.keys(options.throttleHeaders ?? {})) response.removeHeader(name);
    const body = await bodyOf(request);
    await answer(
      {
        method,
        url: parsed,
        path,
        body,
        authorization: request.headers.authorization,
        header: (name) => request.headers[name] as string | undefined,
        send,
      },
      found,
    );
  }

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    handle(request, response).catch((failure) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end(error('InternalServerError', String(failure)));
    });
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  return {
    url,
    host: `127.0.0.1:${port}`,
    faults,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
