import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CollectError } from '../src/errors.ts';
import { fileSecret } from '../src/secret.ts';

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'secret-'));
  file = join(folder, 'token');
});
afterAll(() => rm(folder, { recursive: true }));

test.each([
  ['a newline at the end', 'secret\n', 'secret'],
  ['line ends of Windows', 'secret\r\n\r\n', 'secret'],
  ['a byte order mark', '\uFEFFsecret', 'secret'],
  ['spaces, which are part of it', ' two words ', ' two words '],
])('a secret file with %s', async (_title, content, secret) => {
  await writeFile(file, content);
  expect(await fileSecret(file).read()).toBe(secret);
});

const refusal = (path: string, options?: Parameters<typeof fileSecret>[1]) =>
  fileSecret(path, options)
    .read()
    .then(
      () => undefined,
      (error: CollectError) => {
        expect(error).toBeInstanceOf(CollectError);
        expect(error.reason).toBe('auth');
        return error.message.replaceAll(folder, '');
      },
    );

test.each([
  ['nothing', '', 'is empty: write the secret into it'],
  ['a newline only', '\n', 'is empty: write the secret into it'],
  ['blanks and newlines only', ' \r\n\t\n', 'is empty: write the secret into it'],
  [
    'UTF-16',
    Buffer.from('\uFEFFa-secret-of-enough-length', 'utf16le'),
    'is no UTF-8 text: save it as UTF-8 without formatting',
  ],
  [
    'bytes of another encoding',
    Buffer.from('sécret-of-some-length', 'latin1'),
    'is no UTF-8 text: save it as UTF-8 without formatting',
  ],
  ['less than is needed', 'short\n', 'holds 5 characters: a secret of at least 16 is needed here'],
  ['more than a secret', 'x'.repeat(70_000), 'is larger than 65536 bytes: check the path'],
])(
  'a secret file that holds %s is refused, with its name and its setting',
  async (_title, content, problem) => {
    await writeFile(file, content);
    expect(await refusal(file, { setting: 'events.tokenFile', minLength: 16 })).toBe(
      `the secret file /token ${problem} (setting events.tokenFile)`,
    );
  },
);

test.each([
  ['/dev/zero', 'the secret file /dev/zero is no regular file: check the path'],
  [tmpdir(), `the secret file ${tmpdir()} is no regular file: check the path`],
  ['/nowhere', 'the secret file /nowhere cannot be read: check the path and its mount'],
])('what is no file is refused: %s', async (path, message) => {
  expect(await refusal(path)).toBe(message);
});

test('a file that was emptied lets nobody use the old secret, and one that was filled is used at once', async () => {
  await writeFile(file, 'the-first-secret');
  const secret = fileSecret(file);
  expect(await secret.read()).toBe('the-first-secret');
  await writeFile(file, '');
  await expect(secret.read()).rejects.toThrow('is empty');
  await writeFile(file, 'the-second');
  expect(await secret.read()).toBe('the-second');
});
