import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { inspect } from 'node:util';
import { CollectError } from './errors.ts';

/** A secret value. It never shows itself: not in logs, errors or JSON. */
export interface Secret {
  /**
   * The value as it is now; a file is read again when it changed.
   * @throws CollectError `auth`, naming the file and its setting, when it holds no secret that can be used.
   */
  read(): Promise<string>;
}

const hidden = '<secret>';
const hiding = {
  toString: () => hidden,
  toJSON: () => hidden,
  [inspect.custom]: () => hidden,
};

/** A secret from the configuration itself or the environment. */
export function plainSecret(value: string): Secret {
  return { read: async () => value, ...hiding };
}

/** No password, token or key is larger. */
const largestSecret = 65_536;

/**
 * A text file that is read again when it changed, as Kubernetes replaces what it mounts.
 * @param refuse makes the error of a problem
 */
export function changingFile(
  path: string,
  largestBytes: number,
  refuse: (problem: string, cause?: unknown) => CollectError,
): { read(): Promise<string> } {
  let seen = '';
  let text = '';

  async function load(): Promise<string> {
    const file = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(largestBytes + 1));
      if (bytesRead > largestBytes) throw refuse(`is larger than ${largestBytes} bytes: check the path`);
      return buffer.toString('utf8', 0, bytesRead).replace(/^\uFEFF/, '');
    } finally {
      await file.close();
    }
  }

  return {
    async read() {
      try {
        const { mtimeMs, size, ino, mode } = await stat(path);
        // A pipe or a device would be waited for, or read without end.
        if ((mode & constants.S_IFMT) !== constants.S_IFREG)
          throw refuse('is no regular file: check the path');
        const now = `${mtimeMs} ${size} ${ino}`;
        if (now !== seen) {
          text = await load();
          seen = now;
        }
        return text;
      } catch (error) {
        if (error instanceof CollectError) throw error;
        throw refuse('cannot be read: check the path and its mount', error);
      }
    },
  };
}

/** What is wrong with the text of a secret file, or undefined. */
function problemOf(text: string, minLength: number): string | undefined {
  if (text.trim() === '') return 'is empty: write the secret into it';
  if (/[\0\uFFFD]/.test(text)) return 'is no UTF-8 text: save it as UTF-8 without formatting';
  if (text.length < minLength)
    return `holds ${text.length} characters: a secret of at least ${minLength} is needed here`;
  return undefined;
}

/**
 * A secret from a file, as Kubernetes mounts it; line ends at its end do not count.
 * @param setting names the setting that holds the path, for messages
 * @param minLength a shorter secret is refused
 */
export function fileSecret(
  path: string,
  { setting, minLength = 1 }: { readonly setting?: string; readonly minLength?: number } = {},
): Secret {
  const refuse = (problem: string, cause?: unknown) =>
    new CollectError(
      'auth',
      `the secret file ${path} ${problem}${setting === undefined ? '' : ` (setting ${setting})`}`,
      { cause },
    );
  const file = changingFile(path, largestSecret, refuse);
  return {
    async read() {
      const text = (await file.read()).replace(/[\r\n]+$/, '');
      const problem = problemOf(text, minLength);
      if (problem !== undefined) throw refuse(problem);
      return text;
    },
    ...hiding,
  };
}
