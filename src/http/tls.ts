import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import { Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { CollectError } from '../errors.ts';

/** How the configuration wants servers and ourselves to be known. Files are read anew for every client. */
export interface TlsSettings {
  /** PEM file, trusted besides the system's certificates. */
  readonly caFile?: string | undefined;
  /** PEM file of the certificate that is shown to servers which ask for one, with its chain. */
  readonly certFile?: string | undefined;
  /** PEM file of its private key. */
  readonly keyFile?: string | undefined;
  readonly insecureSkipVerify?: boolean | undefined;
}

/** The same as texts in PEM, of those who bring their own. */
export interface PemSettings {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly insecureSkipVerify?: boolean | undefined;
}

const unreadable = (what: string, file: string, setting: string, cause: unknown): CollectError =>
  new CollectError('tls', `the ${what} ${file} cannot be read: check ${setting} and its mount`, { cause });

function read(what: string, file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable(what, file, setting, error);
  }
}

/**
 * OpenSSL takes a text without any certificate, and of a damaged one what comes before the damage, without a word.
 * @throws Error where there is no certificate in a text, or one that cannot be read
 */
export function checkCertificates(text: string): void {
  if (!/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/.test(text)) throw new Error('there is none in it');
  for (const block of text.split(/(?=-----BEGIN )/))
    if (block.startsWith('-----BEGIN CERTIFICATE-----')) new X509Certificate(block);
}

/**
 * The certificates to trust: the system's and Node's own, and those of the file. Read anew for every client.
 * @throws CollectError `tls`, naming the file that cannot be read or holds no certificate
 */
export function certificates(caFile: string): string[] {
  const text = read('CA file', caFile, 'tls.caFile');
  try {
    checkCertificates(text);
  } catch (cause) {
    throw new CollectError('tls', `the CA file ${caFile} holds no certificate in PEM: check tls.caFile`, {
      cause,
    });
  }
  return [...getCACertificates('default'), text];
}

/**
 * The client certificate and its key; undefined when none is configured.
 * @throws CollectError `tls`, naming the file that is missing, is none, or does not go with the other
 */
export function clientCertificate({
  certFile,
  keyFile,
}: TlsSettings): { readonly cert: string; readonly key: string } | undefined {
  if (certFile === undefined || keyFile === undefined) return undefined;
  const cert = read('client certificate', certFile, 'tls.certFile');
  const key = read('key', keyFile, 'tls.keyFile');
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch {
    throw new CollectError(
      'tls',
      `the client certificate ${certFile} is no certificate in PEM: check tls.certFile`,
    );
  }
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(key);
  } catch {
    // What OpenSSL says of a key is not repeated.
    throw new CollectError(
      'tls',
      `the key ${keyFile} is no private key in PEM without a passphrase: check tls.keyFile`,
    );
  }
  if (!certificate.checkPrivateKey(privateKey))
    throw new CollectError(
      'tls',
      `the key ${keyFile} does not go with the client certificate ${certFile}: replace both together`,
    );
  return { cert, key };
}

/** Connections of one registry. */
export interface Dispatchers {
  /** Those for servers that the registry and not the configuration named show no client certificate. */
  of(stranger: boolean): Dispatcher;
  destroy(): Promise<void>;
}

/**
 * Connections of one registry. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; certificates are
 * checked against the CA file through a proxy too.
 * @throws CollectError `tls` for files that cannot be used
 */
export function createDispatchers(
  options: TlsSettings & { readonly maxConcurrent: number; readonly pem?: PemSettings | undefined },
): Dispatchers {
  const { pem = {} } = options;
  const trust = {
    ...(pem.ca !== undefined && { ca: [...getCACertificates('default'), pem.ca] }),
    ...(options.caFile !== undefined && { ca: certificates(options.caFile) }),
    ...((options.insecureSkipVerify || pem.insecureSkipVerify) && { rejectUnauthorized: false }),
  };
  const brought =
    pem.cert !== undefined && pem.key !== undefined ? { cert: pem.cert, key: pem.key } : undefined;
  const own = clientCertificate(options) ?? brought;
  const usual = createDispatcher(options.maxConcurrent, { ...trust, ...own });
  let bare: Dispatcher | undefined = own ? undefined : usual;
  return {
    of(stranger) {
      if (!stranger) return usual;
      bare ??= createDispatcher(options.maxConcurrent, trust);
      return bare;
    },
    async destroy() {
      await Promise.all([usual.destroy(), bare !== usual && bare?.destroy()]);
    },
  };
}

/** Node's own limit, 16 KiB, is less than web applications before a registry send; docker takes 1 MiB and more. */
const largestHeaders = 2 ** 18;

function createDispatcher(connections: number, tls: object): Dispatcher {
  const common = { connections, maxHeaderSize: largestHeaders, connect: { timeout: 10_000, ...tls } };
  const environment = process.env;
  const proxied = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'].some(
    (name) => environment[name],
  );
  return proxied ? new EnvHttpProxyAgent({ ...common, requestTls: tls, proxyTls: tls }) : new Agent(common);
}
