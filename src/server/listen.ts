import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { RequestHandler } from 'express';
import type { Logger } from '../provider.ts';
import { limitConnections } from './connections.ts';
import { createWebAccess } from './web-access.ts';
import type { WebConfig } from './web-config.ts';

export interface Listeners {
  /** Such as `http://127.0.0.1:10056`. */
  readonly addresses: readonly string[];
  /** Takes no new connections, lets requests in flight end. */
  close(): Promise<void>;
}

/** An address that cannot be had; its message says which and why. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** How often connections that became idle are closed while the listeners end. */
const sweepMs = 50;

const limits = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  maxHeaderSize: 16_384,
  // Node looks for connections that are over these times only so often; its default is half a minute.
  connectionsCheckingInterval: 1_000,
};
/** Of TLS; Node's default is two minutes, for which a client that says nothing would keep its connection. */
const handshakeTimeout = 5_000;

interface Address {
  readonly host: string | undefined;
  readonly port: number;
}

function createListener(tls: WebConfig['tls'], app: RequestListener): Server | TlsServer {
  if (!tls) return createServer(limits, app);
  const { context, requestCert, rejectUnauthorized } = tls;
  return createTlsServer({ ...limits, handshakeTimeout, ...context, requestCert, rejectUnauthorized }, app);
}

/** @returns the address as a person writes it */
async function bind(server: Server | TlsServer, flag: string, { host, port }: Address): Promise<string> {
  const shown = host === undefined ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  await new Promise<void>((resolve, reject) => {
    server.once('error', ({ message }) =>
      reject(new ListenError(`--${flag}=${host === undefined ? '' : shown}:${port}: ${message}`)),
    );
    server.listen({ port, host }, () => resolve());
  });
  return `${shown}:${(server.address() as AddressInfo).port}`;
}

/**
 * Listens on all addresses, with TLS and users when `--web.config.file` says so.
 * @throws ConfigError for a wrong file, ListenError when an address cannot be had.
 */
export async function listen(options: {
  /** The flag that the addresses come from, for messages. */
  readonly flag?: string;
  readonly addresses: readonly Address[];
  readonly webConfigFile: string | undefined;
  readonly log: Logger;
  app(web: RequestHandler): RequestListener;
}): Promise<Listeners> {
  const access = createWebAccess(options.webConfigFile, options.log);
  const app = options.app(access.handler);
  const servers: (Server | TlsServer)[] = [];
  const addresses: string[] = [];
  for (const address of options.addresses) {
    const { tls } = access.config();
    const server = createListener(tls, app);
    access.attach(server);
    limitConnections(server);
    servers.push(server);
    addresses.push(
      `${tls ? 'https' : 'http'}://${await bind(server, options.flag ?? 'web.listen-address', address)}`,
    );
  }
  return {
    addresses,
    async close() {
      const closed = Promise.all(
        servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
      );
      // A connection whose last request has ended would be kept for another one that never comes.
      const sweep = setInterval(() => {
        for (const server of servers) server.closeIdleConnections();
      }, sweepMs);
      await closed;
      clearInterval(sweep);
      await access.close();
    },
  };
}
