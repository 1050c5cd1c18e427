import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { GoogleAuth, grpc } from 'google-gax';
import { certificates, clientCertificate } from '../../http/tls.ts';
import type { PlacesContext } from '../../provider.ts';
import type { Service } from './transport.ts';

/** The host where it is an IP address. */
function addressOf({ hostname }: URL): string | undefined {
  const bare = hostname.replace(/^\[|\]$/g, '');
  return isIP(bare) ? bare : undefined;
}

/** grpc-js reads the lower-case names only; https://github.com/grpc/grpc-node/blob/master/doc/environment_variables.md */
function heedProxyVariables(): void {
  const { env } = process;
  for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY']) {
    const value = env[name];
    if (value !== undefined && env[name.toLowerCase()] === undefined) env[name.toLowerCase()] = value;
  }
}

interface KnownTls {
  /** The files' contents. */
  readonly made: string;
  readonly credentials: grpc.ChannelCredentials;
}

const bytes = (text: string | null | undefined): Buffer | null => (text ? Buffer.from(text) : null);

/** The SDK has the headers given with each call; it is to look for none by itself. */
const noAuth = {
  getClient: async () => ({}),
  getUniverseDomain: async () => undefined,
} as unknown as GoogleAuth;

async function sslCredentials(
  { connection, session }: PlacesContext,
  { url, secure }: Service,
): Promise<grpc.ChannelCredentials> {
  const { default: gax } = await import('google-gax');
  const { credentials: make } = gax.grpc;
  if (!secure) return make.createInsecure();
  const { caFile, insecureSkipVerify } = connection;
  const roots = caFile === undefined ? null : certificates(caFile).join('\n');
  const own = clientCertificate(connection);
  const made = JSON.stringify([roots, own]);
  const byHost = session.keep('google tls', () => new Map<string, KnownTls>());
  const kept = byHost.get(url.host);
  // Reading some 150 certificates holds the event loop for 10 ms.
  if (kept && kept.made === made) return kept.credentials;
  const address = addressOf(url);
  const credentials = make.createSsl(bytes(roots), bytes(own?.key), bytes(own?.cert), {
    ...(insecureSkipVerify && { rejectUnauthorized: false }),
    ...(address !== undefined && {
      checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
        checkServerIdentity(address, certificate),
    }),
  });
  byHost.set(url.host, { made, credentials });
  return credentials;
}

/**
 * Bytes. A message is decoded in one piece, which holds the event loop (8 MB: 14 to 52 ms), while JSON is read in many.
 * A page of a thousand images with one tag each has 0.3 MB.
 */
const largestMessage = 2 ** 23;

/** Options of the SDK's client: where the service is, with our certificates, bounds and without its own retries. */
export async function clientOptions(
  context: PlacesContext,
  target: Service,
): Promise<Record<string, object | string | number>> {
  const { url, secure } = target;
  const where = { servicePath: url.hostname, port: Number(url.port) || (secure ? 443 : 80) };
  heedProxyVariables();
  return {
    ...where,
    auth: noAuth,
    sslCreds: await sslCredentials(context, target),
    // Node refuses an address as the name that TLS asks for, which grpc-js would send: the certificate is still
    // checked against the address.
    ...(addressOf(url) !== undefined && { 'grpc.ssl_target_name_override': 'localhost' }),
    'grpc.max_receive_message_length': Math.min(context.connection.maxBytes, largestMessage),
    // Attempts are repeated and counted here.
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2000,
  };
}
