import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import { Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { CollectError } from '../errors.ts';

/** The certificates to trust: the system's and Node's own, and those of the file. Read anew for every client. */
export function certificates(caFile: string): string[] {
  try {
    return [...getCACertificates('default'), readFileSync(caFile, 'utf8')];
  } catch (error) {
    throw new CollectError('tls', `the CA file ${caFile} cannot be read: check tls.caFile and its mount`, {
      cause: error,
    });
  }
}

/**
 * Connections of one registry. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; certificates are
 * checked against the CA file through a proxy too.
 */
export function createDispatcher(options: {
  readonly caFile?: string;
  readonly insecureSkipVerify?: boolean;
  readonly maxConcurrent: number;
}): Dispatcher {
  const tls = {
    ...(options.caFile !== undefined && { ca: certificates(options.caFile) }),
    ...(options.insecureSkipVerify && { rejectUnauthorized: false }),
  };
  const common = { connections: options.maxConcurrent, connect: { timeout: 10_000, ...tls } };
  const environment = process.env;
  const proxied = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'].some(
    (name) => environment[name],
  );
  return proxied ? new EnvHttpProxyAgent({ ...common, requestTls: tls, proxyTls: tls }) : new Agent(common);
}
