import { z } from 'zod';
import { toSeconds } from './manifest.ts';

/** What is remembered of an image's configuration; never a value from it. */
export interface ConfigRecord {
  /** Unix seconds; absent where the build gives none or a fixed one. */
  readonly createdAt?: number;
  /** How many settings look like secrets. */
  readonly secrets: number;
}

const configBlob = z.object({
  created: z.string().nullish(),
  config: z
    .object({
      Env: z.array(z.string()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  history: z.array(z.object({ created_by: z.string().nullish() })).nullish(),
});

/**
 * Reproducible builds write the Unix epoch (Bazel, jib, Nix) or 1 January 1980 (buildpacks, since zip knows no
 * earlier day): neither says when the image was made.
 * https://buildpacks.io/docs/for-app-developers/concepts/reproducibility/
 */
const firstRealTime = Date.UTC(1981, 0, 1) / 1000;

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

/**
 * The record of an image's configuration blob.
 * @throws ZodError or SyntaxError when it is not one.
 */
export function parseConfig(body: Buffer): ConfigRecord {
  const blob = configBlob.parse(JSON.parse(body.toString('utf8')));
  const settings: [string, string][] = Object.entries(blob.config?.Labels ?? {});
  for (const entry of blob.config?.Env ?? []) {
    const at = entry.indexOf('=');
    if (at > 0) settings.push([entry.slice(0, at), entry.slice(at + 1)]);
  }
  for (const step of blob.history ?? [])
    for (const [, name = '', value = ''] of (step.created_by ?? '').matchAll(assignment))
      settings.push([name, value]);
  const secrets = new Set(settings.filter(([name, value]) => looksSecret(name, value)).map(([name]) => name));
  const createdAt = toSeconds(blob.created);
  const real = createdAt !== undefined && createdAt >= firstRealTime;
  return { secrets: secrets.size, ...(real && { createdAt }) };
}
