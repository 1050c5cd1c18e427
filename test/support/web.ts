import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import type { RequestHandler } from 'express';
import express from 'express';
import { generate } from 'selfsigned';
import { type Listeners, listen } from '../../src/server/listen.ts';

/** What was logged, one line each, and a logger that writes there. */
export function recordingLog() {
  const lines: string[] = [];
  const write =
    (level: string) =>
    (...args: readonly unknown[]): void => {
      const err = (args[0] as { err?: Error }).err?.message ?? '';
      lines.push(`${level} ${args.at(-1)} ${err}`.trim());
    };
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  return { lines, log };
}

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** A self-signed certificate authority, or a certificate signed by one. */
export async function certificate(
  name: string,
  options: {
    readonly ca?: KeyPair;
    readonly isAuthority?: boolean;
    readonly sans?: readonly string[];
    readonly ips?: readonly string[];
    readonly keyType?: 'ec' | 'rsa';
  } = {},
): Promise<KeyPair> {
  const { ca, isAuthority = false, sans = ['localhost'], ips = [], keyType = 'ec' } = options;
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType,
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: isAuthority, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyCertSign: isAuthority, critical: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...sans.map((value) => ({ type: 2 as const, value })),
          ...['127.0.0.1', ...ips].map((ip) => ({ type: 7 as const, ip })),
        ],
      },
    ],
    ...(ca && { ca }),
  });
  return { cert, key };
}

/** Listeners on loopback that answer `GET /` with `hello`, with this web configuration. */
export async function listenWith(folder: string, yaml: string, files: Readonly<Record<string, string>> = {}) {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const file = join(folder, 'web.yml');
  writeFileSync(file, yaml);
  const { lines, log } = recordingLog();
  const app = (web: RequestHandler) => {
    const all = express();
    all.use(web);
    all.get('/', (_request, response) => void response.send('hello'));
    return all;
  };
  const listeners: Listeners = await listen({
    addresses: [{ host: '127.0.0.1', port: 0 }],
    webConfigFile: file,
    log: log as never,
    app,
  });
  return { file, lines, url: listeners.addresses[0] ?? '', close: listeners.close };
}

export interface TlsAnswer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly protocol: string | null;
  readonly cipher: string;
  /** Of the server's certificate. */
  readonly subject: string;
}

/** One request on a connection of its own. @throws Error when the handshake fails */
export function getTls(url: string, options: object = {}): Promise<TlsAnswer> {
  return new Promise((resolve, reject) => {
    const started = request(url, { rejectUnauthorized: false, agent: false, ...options }, (response) => {
      const socket = response.socket as import('node:tls').TLSSocket;
      const about = {
        protocol: socket.getProtocol(),
        cipher: socket.getCipher().name,
        subject: socket.getPeerX509Certificate()?.subject ?? '',
      };
      let body = '';
      response.on('data', (data: Buffer) => (body += data.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body, headers: response.headers, ...about }),
      );
    });
    started.on('error', reject);
    started.end();
  });
}
