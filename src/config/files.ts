import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import type { Problem } from './document.ts';

type Path = readonly (string | number)[];

/** Settings that name a file, by their keys: `passwordFile`, `caFile`, `dockerConfigFile`. */
function* namedFiles(
  value: unknown,
  path: Path = [],
): Generator<{ readonly file: string; readonly path: Path }> {
  if (value === null || typeof value !== 'object') return;
  for (const [key, inner] of Object.entries(value)) {
    const at = [...path, Array.isArray(value) ? Number(key) : key];
    if (key.endsWith('File') && typeof inner === 'string') yield { file: inner, path: at };
    else yield* namedFiles(inner, at);
  }
}

async function problemWith(file: string): Promise<string | undefined> {
  try {
    const about = await stat(file);
    if (about.isDirectory()) return `${file} is a folder`;
    if (about.size === 0 && about.isFile()) return `${file} is empty`;
    await access(file, constants.R_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return `there is no file ${file}`;
    return `${file} cannot be read (${code})`;
  }
}

/** Files that the document names and that cannot be read here. A start goes on without them: they may come later. */
export async function missingFiles(
  document: unknown,
  problem: (path: Path, message: string) => Problem,
): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const { file, path } of namedFiles(document)) {
    const message = await problemWith(file);
    if (message !== undefined) problems.push(problem(path, message));
  }
  return problems;
}
