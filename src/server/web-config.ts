import { readFileSync, statSync } from 'node:fs';
import { validateHeaderValue } from 'node:http';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { ConfigError, readDocument, showPath } from '../config/document.ts';
import { goDurationMs } from './rate-limit.ts';
import { flag, isTlsWanted, loadTls, type TlsConfig, text, tlsSchema } from './tls-config.ts';

/**
 * `--web.config.file` in the format of Prometheus' exporter-toolkit:
 * https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
 * What differs from it stands in docs/web-config.md.
 */
export interface WebConfig {
  readonly tls?: TlsConfig;
  /** User to bcrypt hash. */
  readonly users: ReadonlyMap<string, string>;
  readonly headers: Readonly<Record<string, string>>;
  readonly rateLimit?: { readonly intervalMs: number; readonly burst: number };
}

/** The file itself is right, but a certificate or key that it names is not: maybe it is just being renewed. */
export class CertificateError extends ConfigError {}

const duration = z
  .union([z.string(), z.number()])
  // Go takes a bare number for nanoseconds.
  .transform((value) => (typeof value === 'number' ? value / 1e6 : goDurationMs(value)))
  .refine(
    (value): value is number => value !== undefined && value >= 0,
    'is no duration such as 1s or 500ms',
  );

/** A value that HTTP can carry; any other would fail every answer. */
const headerValue = text.refine((value) => {
  try {
    validateHeaderValue('x', value);
    return true;
  } catch {
    return false;
  }
}, 'holds characters that no header can carry');

const schema = z.strictObject({
  tls_server_config: tlsSchema.optional(),
  http_server_config: z
    .strictObject({
      // HTTP/1.1 is what is spoken; the setting is read for files that are shared with other exporters.
      http2: flag.optional(),
      headers: z
        .strictObject({
          'Content-Security-Policy': headerValue.optional(),
          'X-Frame-Options': z.enum(['deny', 'sameorigin']).optional(),
          'X-Content-Type-Options': z.enum(['nosniff']).optional(),
          'X-XSS-Protection': headerValue.optional(),
          'Strict-Transport-Security': headerValue.optional(),
        })
        .optional(),
    })
    .optional(),
  rate_limit: z
    .strictObject({ interval: duration.optional(), burst: z.number().int().nonnegative().optional() })
    .optional(),
  basic_auth_users: z
    .record(
      z.string(),
      text.refine(
        (hash) => /^\$2[a-z]?\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}$/.test(hash),
        'is no bcrypt hash: make one with `htpasswd -nBC 10 "" | tr -d ":\\n"`',
      ),
    )
    .optional(),
});

/** A key without a value is as good as absent, but neither a user without a hash nor a header without a value is. */
function withoutNulls(value: unknown, key?: string): unknown {
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return value;
  const keepsNulls = key === 'basic_auth_users' || key === 'headers';
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, inner]) => {
      if (inner !== null) return [[name, withoutNulls(inner, name)]];
      return keepsNulls ? [[name, '']] : [];
    }),
  );
}

/** What tells whether a file changed. */
function fingerprintOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return 'missing';
  }
}

/** What tells whether any of these files is another one than when it was read. */
export const isChanged = (files: ReadonlyMap<string, string>): boolean =>
  [...files].some(([file, seen]) => fingerprintOf(file) !== seen);

/**
 * Reads the file and what it names; paths are relative to it.
 * @returns the configuration, and each file with its fingerprint of just before it was read
 * @throws CertificateError when only the certificates are wrong, else ConfigError with everything that is wrong
 */
export function loadWebConfig(path: string): {
  readonly config: WebConfig;
  readonly files: ReadonlyMap<string, string>;
} {
  const files = new Map<string, string>();
  const readText = (file: string): string => {
    files.set(file, fingerprintOf(file));
    return readFileSync(file, 'utf8');
  };
  let content: string;
  try {
    content = readText(path);
  } catch (error) {
    throw new ConfigError([{ file: path, path: '', message: `cannot be read: ${(error as Error).message}` }]);
  }
  // `$` stands in every bcrypt hash: nothing is expanded here.
  const document = readDocument(content.replaceAll('$', '$$$$'), path, {});
  const parsed = schema.safeParse(withoutNulls(document.value ?? {}));
  if (!parsed.success)
    throw new ConfigError(
      parsed.error.issues.map((issue) => {
        const at = issue.path.filter((part) => typeof part !== 'symbol');
        return { file: path, ...document.locate(at), path: showPath(at), message: issue.message };
      }),
    );
  const { tls_server_config: tls, http_server_config: http, rate_limit: limit } = parsed.data;
  const fail = (key: string | undefined, message: string): never => {
    const at = ['tls_server_config', ...(key === undefined ? [] : [key])];
    throw new CertificateError([{ file: path, ...document.locate(at), path: showPath(at), message }]);
  };
  const read = (file: string, key: string): string => {
    const full = resolve(dirname(path), file);
    try {
      return readText(full);
    } catch (error) {
      return fail(key, `${full} cannot be read: ${(error as Error).message}`);
    }
  };
  const headers = Object.entries(http?.headers ?? {}).filter(
    (entry): entry is [string, string] => !!entry[1],
  );
  // Go looks at the hash alone, whichever of the minor versions stands before it.
  const users = Object.entries(parsed.data.basic_auth_users ?? {}).map(
    ([user, hash]) => [user, hash.replace(/^\$2[a-z]?/, '$2b')] as const,
  );
  return {
    config: {
      users: new Map(users),
      headers: Object.fromEntries(headers),
      tls: tls && isTlsWanted(tls) ? loadTls(tls, read, fail) : undefined,
      rateLimit: limit?.interval ? { intervalMs: limit.interval, burst: limit.burst ?? 0 } : undefined,
    },
    files,
  };
}
