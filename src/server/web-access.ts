import type { Server } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { parse } from 'basic-auth';
import type { Request, RequestHandler } from 'express';
import type { Logger } from '../provider.ts';
import { createTokenBucket } from '../token-bucket.ts';
import { refusedCertificate } from './client-certificates.ts';
import type { TlsConfig } from './tls-config.ts';
import { createUserCheck } from './users.ts';
import { CertificateError, isChanged, loadWebConfig, type WebConfig } from './web-config.ts';

/** Who gets in, by `--web.config.file`: TLS, client certificates, users, rate. */
export interface WebAccess {
  /** The configuration in use. */
  config(): WebConfig;
  readonly handler: RequestHandler;
  /** Keeps a server's TLS as the file says, from its next connection on. */
  attach(server: Server): void;
  close(): Promise<void>;
}

/** The status of an answer, and its words. */
type Refusal = readonly [status: number, why: string];

function setTls(server: Server, { context, requestCert, rejectUnauthorized }: TlsConfig): void {
  if (!('setSecureContext' in server)) return;
  (server as unknown as { setSecureContext(options: object): void }).setSecureContext(context);
  // Node reads both of the server for each connection: another client_auth_type needs no restart.
  Object.assign(server, { requestCert, rejectUnauthorized });
}

/** Why the user of a request is refused. */
async function refusedUser(
  users: ReturnType<typeof createUserCheck>,
  config: WebConfig,
  request: Request,
): Promise<Refusal | undefined> {
  if (config.users.size === 0) return undefined;
  const login = parse(request.get('authorization') ?? '');
  const address = request.socket.remoteAddress;
  try {
    const isKnown = login && (await users.check(config.users, login.name, login.pass, address));
    return isKnown ? undefined : [401, 'unauthorized'];
  } catch (error) {
    return [503, (error as Error).message];
  }
}

/** Requests look for a change of the files this often; each new connection looks, since a handshake comes first. */
const checkMs = 1000;

/**
 * The file and the certificates are read again when they change; connections stay. While only certificates are wrong,
 * as in the middle of a renewal, the old ones stay in use. While the file itself is wrong requests are answered with
 * 500, as Prometheus' exporters do: nobody gets in by users that may have been taken out.
 * @throws ConfigError for a file that is wrong at the start
 */
export function createWebAccess(file: string | undefined, log: Logger): WebAccess {
  const first = file === undefined ? undefined : loadWebConfig(file);
  const servers: Server[] = [];
  const users = createUserCheck();
  let config: WebConfig = first?.config ?? { users: new Map(), headers: {} };
  let files = first?.files ?? new Map<string, string>();
  const allowed = config.rateLimit && createTokenBucket(config.rateLimit);
  let checkedAt = performance.now();
  let broken = false;
  /** The last reading failed: it is tried again, and logged when it fails in another way. */
  let complaint: string | undefined;

  function apply(next: WebConfig): void {
    const { tls: before, ...rest } = config;
    if ((next.tls === undefined) !== (before === undefined)) {
      log.warn({ file }, 'TLS was switched on or off: that takes a restart');
      const { tls: _, ...others } = next;
      config = { ...rest, ...others, tls: before };
      return;
    }
    config = next;
    if (next.tls) for (const server of servers) setTls(server, next.tls);
  }

  function refresh(): void {
    checkedAt = performance.now();
    if (file === undefined || (complaint === undefined && !isChanged(files))) return;
    try {
      const next = loadWebConfig(file);
      apply(next.config);
      files = next.files;
      broken = false;
      complaint = undefined;
      log.info({ file }, 'the web configuration was read again');
    } catch (error) {
      const { message } = error as Error;
      broken = !(error instanceof CertificateError);
      if (message === complaint) return;
      complaint = message;
      log.error(
        { err: error },
        broken
          ? 'the web configuration is wrong: requests are refused until it is corrected'
          : 'the certificates are wrong: the old ones stay in use until they are corrected',
      );
    }
  }

  /** Why a request is refused before its user is known. */
  function refusal(request: Request): Refusal | undefined {
    if (broken) return [500, 'the web configuration is wrong'];
    if (allowed && !allowed(performance.now())) return [429, 'too many requests (rate_limit)'];
    const unwanted = config.tls && refusedCertificate(config.tls, request.socket as TLSSocket);
    return unwanted === undefined ? undefined : [403, unwanted];
  }

  const handler: RequestHandler = async (request, response, next) => {
    if (performance.now() - checkedAt >= checkMs) refresh();
    const refused = refusal(request) ?? (await refusedUser(users, config, request));
    if (!broken && refused?.[0] !== 429) response.set(config.headers);
    if (!refused) return next();
    const [status, why] = refused;
    if (status === 401) response.set('WWW-Authenticate', 'Basic');
    response.status(status).type('text').send(`${why}\n`);
  };

  return {
    config: () => config,
    handler,
    attach(server) {
      servers.push(server);
      // Before Node's own listener, which begins the handshake with the certificates of that moment.
      server.prependListener('connection', refresh);
      // As upstream, a client with the wrong certificate gets no further than the handshake.
      server.prependListener('secureConnection', (socket: TLSSocket) => {
        if (config.tls && refusedCertificate(config.tls, socket) !== undefined) socket.destroy();
      });
    },
    close: () => users.close(),
  };
}
