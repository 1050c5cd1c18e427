import { readFile, stat } from 'node:fs/promises';
import { inspect } from 'node:util';
import { CollectError } from './errors.ts';

/** A secret value. It never shows itself: not in logs, errors or JSON. */
export interface Secret {
  /**
   * The value as it is now; a file is read again when it changed.
   * @throws CollectError `auth`, naming the file, when it cannot be read.
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

/** A secret from a file, as Kubernetes mounts it; one newline at its end does not count. */
export function fileSecret(path: string): Secret {
  let seen = '';
  let value: string | undefined;
  return {
    async read() {
      try {
        const { mtimeMs, size, ino } = await stat(path);
        const now = `${mtimeMs} ${size} ${ino}`;
        if (value === undefined || now !== seen) {
          value = (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
          seen = now;
        }
        return value;
      } catch (error) {
        throw new CollectError(
          'auth',
          `the secret file ${path} cannot be read: check the path and its mount`,
          {
            cause: error,
          },
        );
      }
    },
    ...hiding,
  };
}
