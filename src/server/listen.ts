import type { X509Certificate } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { RequestHandler } from 'express';
import type { Logger } from '../provider.ts';
import { createRateLimit } from './rate-limit.ts';
import type { TlsConfig } from './tls-config.ts';
import { createUserCheck } from './users.ts';
import { CertificateError, isChanged, loadWebConfig, type WebConfig } from './web-config.ts';

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

/** A change of the file is seen within this time. */
const checkMs = 1000;
/** How often connections that became idle are closed while the listeners end. */
const sweepMs = 50;

const userinfo = (header: string | undefined): [string, string] | undefined => {
  const [, encoded] = /^Basic\s+([A-Za-z0-9+/=]+)$/i.exec(header ?? '') ?? [];
  if (encoded === undefined) return undefined;
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  return colon < 0 ? undefined : [decoded.slice(0, colon), decoded.slice(colon + 1)];
};

/** Why a client is not let in by its certificate. */
function refusedCertificate(tls: TlsConfig, socket: TLSSocket): string | undefined {
  const certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  if (!certificate) return tls.requireAny ? 'a client certificate is needed' : undefined;
  if (tls.verify && !socket.authorized) return 'the client certificate is not trusted';
  if (!tls.requestCert || tls.allowedSans === undefined) return undefined;
  const sans = (certificate.subjectAltName ?? '').split(', ').map((san) => san.replace(/^[^:]+:/, ''));
  return tls.allowedSans.some((allowed) => sans.includes(allowed))
    ? undefined
    : 'the client certificate is for another name';
}

/**
 * Listens on all addresses, with TLS and users when `--web.config.file` says so. The file and the certificates are
 * read again when they change; connections stay. While only certificates are wrong, as in the middle of a renewal,
 * the old ones stay in use. While the file itself is wrong requests are answered with 500, as Prometheus' exporters
 * do: nobody gets in by users that may have been taken out.
 * @throws ConfigError for a wrong file, ListenError when an address cannot be had.
 */
export async function listen(options: {
  readonly addresses: readonly { readonly host: string | undefined; readonly port: number }[];
  readonly webConfigFile: string | undefined;
  readonly log: Logger;
  app(web: RequestHandler): RequestListener;
}): Promise<Listeners> {
  const { webConfigFile, log } = options;
  const servers: (Server | TlsServer)[] = [];
  const users = createUserCheck();
  const empty: WebConfig = { users: new Map(), headers: {} };
  const first = webConfigFile === undefined ? undefined : loadWebConfig(webConfigFile);
  let config = first?.config ?? empty;
  let files = first?.files ?? new Map<string, string>();
  const allowed = config.rateLimit && createRateLimit(config.rateLimit);
  let checkedAt = performance.now();
  let broken = false;
  /** The last reading failed: it is tried again, and logged when it fails in another way. */
  let complaint: string | undefined;

  function apply(next: WebConfig): void {
    const { tls: before, ...rest } = config;
    if ((next.tls === undefined) !== (before === undefined)) {
      log.warn({ file: webConfigFile }, 'TLS was switched on or off: that takes a restart');
      const { tls: _, ...others } = next;
      config = { ...rest, ...others, ...(before && { tls: before }) };
      return;
    }
    if (next.tls) {
      const { context, requestCert, rejectUnauthorized } = next.tls;
      for (const server of servers) {
        if (!('setSecureContext' in server)) continue;
        server.setSecureContext(context);
        // Node reads both of the server for each connection: another client_auth_type needs no restart.
        Object.assign(server, { requestCert, rejectUnauthorized });
      }
    }
    config = next;
  }

  function refresh(): void {
    if (webConfigFile === undefined || performance.now() - checkedAt < checkMs) return;
    checkedAt = performance.now();
    if (complaint === undefined && !isChanged(files)) return;
    try {
      const next = loadWebConfig(webConfigFile);
      apply(next.config);
      files = next.files;
      broken = false;
      complaint = undefined;
      log.info({ file: webConfigFile }, 'the web configuration was read again');
    } catch (error) {
      const { message } = error as Error;
      broken = !(error instanceof CertificateError);
      if (message === complaint) return;
      complaint = message;
      log.error(
        { err: error },
        broken
          ? 'the web configuration is wrong: requests are refused until it is mended'
          : 'the certificates are wrong: the old ones stay in use until they are mended',
      );
    }
  }

  const web: RequestHandler = async (request, response, next) => {
    refresh();
    if (broken) {
      response.status(500).type('text').send('the web configuration is wrong\n');
      return;
    }
    if (allowed && !allowed(performance.now())) {
      response.status(429).type('text').send('too many requests (rate_limit)\n');
      return;
    }
    response.set(config.headers);
    const refused = config.tls && refusedCertificate(config.tls, request.socket as TLSSocket);
    if (refused !== undefined) {
      response.status(403).type('text').send(`${refused}\n`);
      return;
    }
    if (config.users.size === 0) return next();
    const given = userinfo(request.get('authorization'));
    try {
      if (given && (await users.check(config.users, ...given))) return next();
    } catch (error) {
      response
        .status(429)
        .type('text')
        .send(`${(error as Error).message}\n`);
      return;
    }
    response.status(401).set('WWW-Authenticate', 'Basic').type('text').send('unauthorized\n');
  };

  const app = options.app(web);
  const limits = {
    headersTimeout: 5_000,
    requestTimeout: 10_000,
    maxHeaderSize: 16_384,
    // Node looks for connections that are over these times only so often; its default is half a minute.
    connectionsCheckingInterval: 1_000,
  };
  const addresses: string[] = [];
  for (const { host, port } of options.addresses) {
    const { tls } = config;
    const server = tls
      ? createTlsServer(
          {
            ...limits,
            ...tls.context,
            requestCert: tls.requestCert,
            rejectUnauthorized: tls.rejectUnauthorized,
          },
          app,
        )
      : createServer(limits, app);
    server.maxConnections = 512;
    // A handshake comes before any request: a certificate that was renewed is shown to the next connection.
    server.on('connection', refresh);
    // As upstream, a client with the wrong certificate gets no further than the handshake.
    server.prependListener('secureConnection', (socket: TLSSocket) => {
      if (config.tls && refusedCertificate(config.tls, socket) !== undefined) socket.destroy();
    });
    servers.push(server);
    const shown = host === undefined ? 'localhost' : host.includes(':') ? `[${host}]` : host;
    await new Promise<void>((resolve, reject) => {
      const refused = ({ message }: Error) =>
        reject(
          new ListenError(`--web.listen-address=${host === undefined ? '' : shown}:${port}: ${message}`),
        );
      server.once('error', refused);
      server.listen({ port, ...(host !== undefined && { host }) }, () => resolve());
    });
    const bound = server.address() as AddressInfo;
    addresses.push(`${tls ? 'https' : 'http'}://${shown}:${bound.port}`);
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
      await users.close();
    },
  };
}
