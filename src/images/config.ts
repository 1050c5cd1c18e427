import { z } from 'zod';
import { dictionary, list, longText, optional, parseWire, pastTime } from '../wire.ts';
import { type Document, jsonOf } from './manifest.ts';

/** What is remembered of an image's configuration; never a value from it. */
export interface ConfigRecord {
  /** Unix seconds; absent where the build gives none or a fixed one. */
  readonly createdAt?: number;
  /** How many settings look like secrets; absent where the configuration cannot be understood. */
  readonly secrets?: number;
  /** It holds a time that cannot be understood: the image may be the newest. One in the future is none. */
  readonly timeOdd?: true;
  /** What of it could not be understood. */
  readonly odd?: string;
}

const setting = longText(65_536);
const configBlob = z.object({
  /**
   * Reproducible builds write the Unix epoch (Bazel, jib, Nix) or 1 January 1980 (buildpacks, since zip knows no
   * earlier day): neither says when the image was made, nor does a time in the future.
   * https://buildpacks.io/docs/for-app-developers/concepts/reproducibility/
   */
  created: optional('created', pastTime),
  config: optional(
    'config',
    z.object({
      Env: optional('config.Env', list('config.Env', setting)),
      Labels: optional('config.Labels', dictionary('config.Labels', setting)),
    }),
  ),
  history: optional(
    'history',
    list('history', z.object({ created_by: optional('history.created_by', setting) })),
  ),
});

const secretName =
  /(^|[_.-])(PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRETS|TOKEN|APIKEY|API[_.-]KEY|PRIVATE[_.-]KEY|SECRET[_.-](ACCESS[_.-])?KEY|ACCESS[_.-]KEY)([_.-]|$)/;
/** Such names hold where a secret is, or how long it lives, and not the secret. */
const pointerName =
  /[_.-](FILE|PATH|DIR|URL|URI|HOST|TTL|EXPIRY|EXPIRATION|LENGTH|NAME|ID|TYPE|ENABLED|HEADER)$/;
const placeholder =
  /^(\$.*|<.*>|\{\{.*\}\}|%.*%|\*+|x{3,}|\.+|-|(your|my|dummy|fake|example|sample|test|placeholder|change|replace|todo|redacted).*|none|null|nil|undefined|true|false|yes|no|on|off|\d{1,5})$/i;

/** Whether a setting's name and value look like a secret that was built into the image. */
export function looksSecret(name: string, value: string): boolean {
  const upper = name.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase();
  if (!secretName.test(upper) || pointerName.test(upper)) return false;
  const bare = value.trim().replace(/^(["'])(.*)\1$/, '$2');
  return bare !== '' && !placeholder.test(bare) && !bare.startsWith('/');
}

const assignment = /(?:^|\s)([A-Za-z_][\w.-]*)=("[^"]*"|'[^']*'|\S*)/g;

/** The record of an image's configuration, whatever it is: it never changes. */
export function parseConfig(document: Document): ConfigRecord {
  let json: unknown;
  try {
    json = jsonOf(document);
  } catch {
    return { odd: 'it is no JSON' };
  }
  let odd: string | undefined;
  const parsed = parseWire(json, configBlob, ({ at, problem }) => {
    odd ??= `${at}: ${problem}`;
  });
  if (!parsed.success) return { odd: 'it is no JSON object' };
  const blob = parsed.data;
  const settings: [string, string][] = [...(blob.config?.Labels ?? [])];
  for (const entry of blob.config?.Env ?? []) {
    const at = entry.indexOf('=');
    if (at > 0) settings.push([entry.slice(0, at), entry.slice(at + 1)]);
  }
  for (const step of blob.history ?? [])
    for (const [, name = '', value = ''] of (step.created_by ?? '').matchAll(assignment))
      settings.push([name, value]);
  const secrets = new Set(settings.filter(([name, value]) => looksSecret(name, value)).map(([name]) => name));
  const { created } = json as { created?: unknown };
  const isTime = typeof created === 'string' && !Number.isNaN(Date.parse(created));
  return {
    secrets: secrets.size,
    ...(created !== undefined && created !== null && !isTime && { timeOdd: true as const }),
    createdAt: blob.created,
    odd,
  };
}
