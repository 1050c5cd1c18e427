import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions, type SecureVersion } from 'node:tls';
import { z } from 'zod';
import { checkCertificates } from '../http/tls.ts';

/** The part `tls_server_config` of `--web.config.file`, with Go's names as the exporter-toolkit reads them. */
export interface TlsConfig {
  readonly context: SecureContextOptions;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  /** A certificate must be shown, whoever signed it. */
  readonly requireAny: boolean;
  /** A certificate that is shown must be signed by a known authority. */
  readonly verify: boolean;
  /** Names of which the client's certificate must carry one; undefined where any will do. */
  readonly allowedSans: readonly string[] | undefined;
}

const clientAuthTypes = [
  '',
  'NoClientCert',
  'RequestClientCert',
  'RequireAnyClientCert',
  // The older name of the one before.
  'RequireClientCert',
  'VerifyClientCertIfGiven',
  'RequireAndVerifyClientCert',
] as const;

/** Of TLS 1.3: Go has them always, whatever `cipher_suites` says, https://pkg.go.dev/crypto/tls#Config */
const tls13Suites = {
  TLS_AES_128_GCM_SHA256: 'TLS_AES_128_GCM_SHA256',
  TLS_AES_256_GCM_SHA384: 'TLS_AES_256_GCM_SHA384',
  TLS_CHACHA20_POLY1305_SHA256: 'TLS_CHACHA20_POLY1305_SHA256',
} as const;
/** What https://pkg.go.dev/crypto/tls#CipherSuites returns, and OpenSSL's names of the same. */
const cipherSuites = {
  ...tls13Suites,
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
} as const;
const cipherSuiteNames = Object.keys(cipherSuites) as (keyof typeof cipherSuites)[];
const curves = { CurveP256: 'P-256', CurveP384: 'P-384', CurveP521: 'P-521', X25519: 'X25519' } as const;
const versions = {
  TLS12: 'TLSv1.2',
  TLS13: 'TLSv1.3',
} as const satisfies Record<string, SecureVersion>;
/** Upstream knows them; OpenSSL as Node brings it refuses every handshake with them. */
const deadVersions = ['TLS10', 'TLS11'] as const;
const version = z.enum([...deadVersions, 'TLS12', 'TLS13']).transform((name, context) => {
  if (name !== 'TLS10' && name !== 'TLS11') return name;
  context.addIssue({ code: 'custom', message: `${name} cannot be spoken any more: write TLS12 or TLS13` });
  return z.NEVER;
});

const names = <T extends Record<string, string>>(table: T) =>
  z.enum(Object.keys(table) as [keyof T & string, ...(keyof T & string)[]]);

/** YAML takes `1` for a number and `yes` for a text; where a text is wanted Go takes both as they stand. */
export const text = z.preprocess(
  (value) => (typeof value === 'number' || typeof value === 'boolean' ? String(value) : value),
  z.string(),
);
/** YAML 1.1, which Go's reader speaks, has more words for yes and no. */
export const flag = z.preprocess((value) => {
  if (typeof value !== 'string') return value;
  if (/^(y|yes|on)$/i.test(value)) return true;
  return /^(n|no|off)$/i.test(value) ? false : value;
}, z.boolean());

export const tlsSchema = z.strictObject({
  cert: text.optional(),
  cert_file: text.optional(),
  key: text.optional(),
  key_file: text.optional(),
  client_ca: text.optional(),
  client_ca_file: text.optional(),
  client_auth_type: z.enum(clientAuthTypes).optional(),
  client_allowed_sans: z.array(text).optional(),
  min_version: version.optional(),
  max_version: version.optional(),
  cipher_suites: z.array(names(cipherSuites)).optional(),
  prefer_server_cipher_suites: flag.optional(),
  curve_preferences: z.array(names(curves)).optional(),
});
export type TlsSection = z.infer<typeof tlsSchema>;

/** Whether TLS is wanted: as upstream, versions and suites alone do not switch it on. */
export function isTlsWanted(tls: TlsSection): boolean {
  const { cert, cert_file, key, key_file, client_ca, client_ca_file, client_auth_type } = tls;
  return [cert, cert_file, key, key_file, client_ca, client_ca_file, client_auth_type].some(Boolean);
}

/** OpenSSL takes a certificate and a key of different types, and fails every handshake then. */
function checkPair(
  context: SecureContextOptions,
  fail: (key: string | undefined, message: string) => never,
): void {
  const { cert, key } = context as { readonly cert: string; readonly key: string };
  let why: string | undefined;
  try {
    createSecureContext(context);
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
      why = 'the key belongs to another certificate';
  } catch (error) {
    why = (error as Error).message;
  }
  if (why !== undefined) fail(undefined, `certificate and key cannot be used together: ${why}`);
}

/** Versions, suites and curves of the handshake. */
function handshakeOf(tls: TlsSection): SecureContextOptions {
  const { cipher_suites: suites, curve_preferences: preferred } = tls;
  // Without a list all that Go offers by itself: none of them exchanges keys by RSA.
  const wanted = (suites?.length ? suites : cipherSuiteNames).map((name) => cipherSuites[name]);
  return {
    minVersion: versions[tls.min_version ?? 'TLS12'],
    maxVersion: versions[tls.max_version ?? 'TLS13'],
    ciphers: [...new Set([...Object.values(tls13Suites), ...wanted])].join(':'),
    ...(preferred?.length && { ecdhCurve: preferred.map((name) => curves[name]).join(':') }),
    honorCipherOrder: tls.prefer_server_cipher_suites ?? true,
  };
}

function checkAuthorities(pem: string, fail: () => never): void {
  try {
    checkCertificates(pem);
  } catch {
    fail();
  }
}

/** Reads what the section names and checks that it fits together. `fail` throws, naming the key. */
export function loadTls(
  tls: TlsSection,
  read: (file: string, key: string) => string,
  fail: (key: string | undefined, message: string) => never,
): TlsConfig {
  // Where both are given the file has it, as upstream.
  const pem = (name: 'cert' | 'key' | 'client_ca'): string | undefined => {
    const file = tls[`${name}_file`];
    return file ? read(file, `${name}_file`) : tls[name] || undefined;
  };
  if (!tls.cert && !tls.cert_file) fail(undefined, 'needs cert_file (or cert)');
  if (!tls.key && !tls.key_file) fail(undefined, 'needs key_file (or key)');
  const auth = tls.client_auth_type || 'NoClientCert';
  const caKey = tls.client_ca_file ? 'client_ca_file' : 'client_ca';
  if (tls[caKey] && auth === 'NoClientCert')
    fail(caKey, 'is given, but client_auth_type does not ask for certificates');
  const [cert, key, ca] = [pem('cert'), pem('key'), pem('client_ca')];
  // Node would trust all public authorities where this is empty.
  if (tls[caKey])
    checkAuthorities(ca ?? '', () => fail(caKey, 'holds no certificate in PEM, or a damaged one'));
  const context: SecureContextOptions = { cert, key, ca, ...handshakeOf(tls) };
  checkPair(context, fail);
  const requireAny =
    auth === 'RequireAnyClientCert' || auth === 'RequireClientCert' || auth === 'RequireAndVerifyClientCert';
  return {
    context,
    requestCert: auth !== 'NoClientCert',
    rejectUnauthorized: auth === 'RequireAndVerifyClientCert',
    requireAny,
    verify: auth === 'VerifyClientCertIfGiven' || auth === 'RequireAndVerifyClientCert',
    allowedSans: tls.client_allowed_sans,
  };
}
