import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generateChartFiles } from './chart-files.ts';
import { generatedFiles } from './generated.ts';

/** Writes every generated file; `npm run generate`. A test fails when that would change anything. */
const root = join(import.meta.dirname, '..');

async function write(files: ReadonlyMap<string, string>): Promise<void> {
  for (const [path, content] of files) {
    const full = join(root, path);
    await mkdir(dirname(full), { recursive: true });
    await writeFile(full, content);
  }
}

await write(await generatedFiles());
// Last: the chart holds copies of what was written above.
await write(await generateChartFiles());
