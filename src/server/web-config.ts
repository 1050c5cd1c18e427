import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { SecureContextOptions, SecureVersion } from 'node:tls';
import { z } from 'zod';
import { ConfigError, readDocument, showPath } from '../config/document.ts';

/**
 * `--web.config.file` in the format of Prometheus' exporter-toolkit:
 * https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
 */
export interface WebConfig {
  readonly tls?: TlsConfig;
  /** User to bcrypt hash. */
  readonly users: ReadonlyMap<string, string>;
  readonly headers: Readonly<Record<string, string>>;
}

export interface TlsConfig {
  readonly context: SecureContextOptions;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  /** A certificate must be shown, whoever signed it. */
  readonly requireAny: boolean;
  /** Names of which the client's certificate must carry one. */
  readonly allowedSans: readonly string[];
}

const clientAuthTypes = [
  'NoClientCert',
  'RequestClientCert',
  'RequireAnyClientCert',
  'VerifyClientCertIfGiven',
  'RequireAndVerifyClientCert',
] as const;

/** Go's names of the cipher suites that Node has too, without those that nobody should use. */
const cipherSuites = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
  TLS_AES_128_GCM_SHA256: 'TLS_AES_128_GCM_SHA256',
  TLS_AES_256_GCM_SHA384: 'TLS_AES_256_GCM_SHA384',
  TLS_CHACHA20_POLY1305_SHA256: 'TLS_CHACHA20_POLY1305_SHA256',
} as const;
const curves = { CurveP256: 'P-256', CurveP384: 'P-384', CurveP521: 'P-521', X25519: 'X25519' } as const;
const versions = { TLS12: 'TLSv1.2', TLS13: 'TLSv1.3' } as const satisfies Record<string, SecureVersion>;

const names = <T extends Record<string, string>>(table: T) =>
  z.enum(Object.keys(table) as [keyof T & string, ...(keyof T & string)[]]);

const schema = z.strictObject({
  tls_server_config: z
    .strictObject({
      cert: z.string().optional(),
      cert_file: z.string().optional(),
      key: z.string().optional(),
      key_file: z.string().optional(),
      client_ca: z.string().optional(),
      client_ca_file: z.string().optional(),
      client_auth_type: z.enum(clientAuthTypes).optional(),
      client_allowed_sans: z.array(z.string()).optional(),
      min_version: names(versions).optional(),
      max_version: names(versions).optional(),
      cipher_suites: z.array(names(cipherSuites)).optional(),
      prefer_server_cipher_suites: z.boolean().optional(),
      curve_preferences: z.array(names(curves)).optional(),
    })
    .optional(),
  http_server_config: z
    .strictObject({
      // HTTP/1.1 is what is spoken; the setting is read for files that are shared with other exporters.
      http2: z.boolean().optional(),
      headers: z
        .strictObject({
          'Content-Security-Policy': z.string().optional(),
          'X-Frame-Options': z.enum(['deny', 'sameorigin']).optional(),
          'X-Content-Type-Options': z.enum(['nosniff']).optional(),
          'X-XSS-Protection': z.string().optional(),
          'Strict-Transport-Security': z.string().optional(),
        })
        .optional(),
    })
    .optional(),
  basic_auth_users: z
    .record(
      z.string().min(1),
      z
        .string()
        .regex(
          /^\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}$/,
          'is no bcrypt hash: make one with `htpasswd -nBC 10 "" | tr -d ":\\n"`',
        ),
    )
    .optional(),
});

/**
 * Reads the file and what it names; paths are relative to it.
 * @throws ConfigError with everything that is wrong.
 */
export function loadWebConfig(path: string): {
  readonly config: WebConfig;
  readonly files: readonly string[];
} {
  const files = [path];
  const fail = (at: readonly (string | number)[], message: string): never => {
    throw new ConfigError([{ file: path, path: showPath(at), message }]);
  };
  const read = (file: string, at: readonly string[]): string => {
    const full = resolve(dirname(path), file);
    files.push(full);
    try {
      return readFileSync(full, 'utf8');
    } catch (error) {
      return fail(at, `${full} cannot be read: ${(error as Error).message}`);
    }
  };
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return fail([], `cannot be read: ${(error as Error).message}`);
  }
  // `$` stands in every bcrypt hash: nothing is expanded here.
  const document = readDocument(text.replaceAll('$', '$$$$'), path, {});
  const parsed = schema.safeParse(document.value ?? {});
  if (!parsed.success)
    throw new ConfigError(
      parsed.error.issues.map((issue) => {
        const at = issue.path.filter((part) => typeof part !== 'symbol');
        return { file: path, ...document.locate(at), path: showPath(at), message: issue.message };
      }),
    );
  const { tls_server_config: tls, http_server_config: http, basic_auth_users: users = {} } = parsed.data;
  const headers = Object.entries(http?.headers ?? {}).filter(([, value]) => value !== undefined) as [
    string,
    string,
  ][];
  return {
    config: {
      users: new Map(Object.entries(users)),
      headers: Object.fromEntries(headers),
      ...(tls && { tls: tlsOf(tls, read, fail) }),
    },
    files,
  };
}

function tlsOf(
  tls: NonNullable<z.infer<typeof schema>['tls_server_config']>,
  read: (file: string, at: readonly string[]) => string,
  fail: (at: readonly string[], message: string) => never,
): TlsConfig {
  const section = 'tls_server_config';
  const pem = (name: 'cert' | 'key' | 'client_ca'): string | undefined => {
    const file = tls[`${name}_file`];
    if (tls[name] !== undefined && file !== undefined)
      fail([section, `${name}_file`], `is given besides ${name}: keep one of the two`);
    return file === undefined ? tls[name] : read(file, [section, `${name}_file`]);
  };
  const cert = pem('cert') ?? fail([section], 'needs cert_file (or cert)');
  const key = pem('key') ?? fail([section], 'needs key_file (or key)');
  const ca = pem('client_ca');
  const auth = tls.client_auth_type ?? 'NoClientCert';
  const verifies = auth === 'VerifyClientCertIfGiven' || auth === 'RequireAndVerifyClientCert';
  if (verifies && ca === undefined)
    fail([section, 'client_auth_type'], `${auth} needs client_ca_file (or client_ca)`);
  if (ca !== undefined && auth === 'NoClientCert')
    fail([section, 'client_ca_file'], 'is given, but client_auth_type does not ask for certificates');
  if (tls.client_allowed_sans && auth !== 'RequireAndVerifyClientCert')
    fail([section, 'client_allowed_sans'], 'needs client_auth_type RequireAndVerifyClientCert');
  const min = versions[tls.min_version ?? 'TLS12'];
  const max = versions[tls.max_version ?? 'TLS13'];
  if (min > max) fail([section, 'min_version'], 'is above max_version');
  return {
    context: {
      cert,
      key,
      minVersion: min,
      maxVersion: max,
      ...(ca !== undefined && { ca }),
      ...(tls.cipher_suites && { ciphers: tls.cipher_suites.map((name) => cipherSuites[name]).join(':') }),
      ...(tls.curve_preferences && {
        ecdhCurve: tls.curve_preferences.map((name) => curves[name]).join(':'),
      }),
      ...(tls.prefer_server_cipher_suites !== false && { honorCipherOrder: true }),
    },
    requestCert: auth !== 'NoClientCert',
    rejectUnauthorized: auth === 'RequireAndVerifyClientCert',
    requireAny: auth === 'RequireAnyClientCert',
    allowedSans: tls.client_allowed_sans ?? [],
  };
}

/** What tells whether files changed. */
export function fingerprint(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        const { mtimeMs, size, ino } = statSync(file);
        return `${mtimeMs} ${size} ${ino}`;
      } catch {
        return 'missing';
      }
    })
    .join('\n');
}
