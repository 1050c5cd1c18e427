import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { certificates, clientCertificate } from '../http/tls.ts';
import { fileSecret } from '../secret.ts';
import type { Problem } from './document.ts';
import { shortestEventsToken } from './schema.ts';

type Path = readonly (string | number)[];

/** Settings that name a file, by their keys: `passwordFile`, `caFile`, `dockerConfigFile`. */
function* namedFiles(value: unknown, path: Path = []): Generator<Named> {
  if (value === null || typeof value !== 'object') return;
  for (const [key, inner] of Object.entries(value)) {
    const at = [...path, Array.isArray(value) ? Number(key) : key];
    if (key.endsWith('File') && typeof inner === 'string')
      yield { file: inner, path: at, beside: value as Record<string, unknown> };
    else yield* namedFiles(inner, at);
  }
}

interface Named {
  readonly file: string;
  readonly path: Path;
  /** The settings that it stands among. */
  readonly beside: Readonly<Record<string, unknown>>;
}

/** Reads a file as a poll would. @throws Error with what is wrong */
async function use({ file, path, beside }: Named): Promise<void> {
  const key = String(path.at(-1));
  if (/(password|token|secret)File$/i.test(key)) {
    const minLength = path.includes('events') ? shortestEventsToken : 1;
    await fileSecret(file, { minLength }).read();
  } else if (key === 'caFile') certificates(file);
  else if (key === 'keyFile' && typeof beside['certFile'] === 'string')
    clientCertificate({ certFile: beside['certFile'], keyFile: file });
  else if (/^(dockerConfig|credentials)File$/.test(key))
    try {
      JSON.parse(await readFile(file, 'utf8'));
    } catch {
      // What the parser says repeats parts of the file.
      throw new Error(`${file} is no JSON`);
    }
}

async function problemWith(named: Named): Promise<string | undefined> {
  const { file } = named;
  try {
    const about = await stat(file);
    if (about.isDirectory()) return `${file} is a folder`;
    if (about.size === 0 && about.isFile()) return `${file} is empty`;
    await access(file, constants.R_OK);
    await use(named);
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) return message;
    if (code === 'ENOENT') return `there is no file ${file}`;
    return `${file} cannot be read (${code})`;
  }
}

/** Files that the document names and that cannot be used here. A start goes on without them: they may come later. */
export async function badFiles(
  document: unknown,
  problem: (path: Path, message: string) => Problem,
): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const named of namedFiles(document)) {
    const message = await problemWith(named);
    if (message !== undefined) problems.push(problem(named.path, message));
  }
  return problems;
}
