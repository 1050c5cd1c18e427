import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { everyRegistry } from './simulators/every-registry.ts';
import { eventually, freePort, startProgram, tempDir } from './support/programs.ts';

/**
 * `node test/image.ts FOLDER`: whether what `scripts/image.sh` made works: the program in it polls a simulated registry
 * of each vendor, each through the SDK that lies there. Prints the size of the folder.
 */
const folder = process.argv[2];
if (!folder) throw new Error('which folder? node test/image.ts FOLDER');

const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
const unread = files.filter(({ name }) => /\.(map|d\.[cm]?ts)$/.test(name));
if (unread.length > 0)
  throw new Error(`${unread.length} files that nobody reads there, such as ${unread[0]?.name}`);
const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);

const types = Object.keys(everyRegistry);
const temporary = tempDir();
const simulated = await Promise.all(
  types.map((type, seed) =>
    everyRegistry[type]?.({ seed, repositories: 3, now: Math.floor(Date.now() / 1000) }),
  ),
);
const config = join(temporary.path, 'exporter.yaml');
writeFileSync(
  config,
  stringify({
    registries: types.map((type, at) => ({ name: type, type, ...simulated[at]?.registry })),
  }),
);
const port = await freePort();
const flags = [`--config.file=${config}`, `--web.listen-address=127.0.0.1:${port}`];
const program = await startProgram(
  process.execPath,
  ['--max-semi-space-size=4', join(folder, 'dist', 'main.js'), ...flags],
  { waitFor: /msg":"listening|msg=listening/ },
);
try {
  await eventually(async () => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const up = [...text.matchAll(/^container_registry_up\{[^}]*\} 1$/gm)].length;
    if (up !== types.length)
      throw new Error(`${up} of ${types.length} registries are up:\n${program.output()}`);
  });
  console.log(
    `${files.length} files, ${(bytes / 1e6).toFixed(0)} MB; ${types.length} of ${types.length} registries are up`,
  );
} finally {
  await program.stop();
  for (const registry of simulated) await registry?.close();
  temporary.remove();
}
