import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadWebConfig } from '../../src/server/web-config.ts';
import { tempDir } from '../support/programs.ts';
import { certificate } from '../support/web.ts';
import { rows } from './web-config-cases.ts';

const folder = tempDir();
beforeAll(async () => {
  const [server, other] = await Promise.all([certificate('localhost'), certificate('other')]);
  writeFileSync(join(folder.path, 'server.crt'), server.cert);
  writeFileSync(join(folder.path, 'server.key'), server.key);
  writeFileSync(join(folder.path, 'other.key'), other.key);
  const authority = await certificate('authority', { isAuthority: true });
  writeFileSync(join(folder.path, 'ca.crt'), authority.cert);
  writeFileSync(join(folder.path, 'cut.crt'), authority.cert.slice(0, -60));
});
afterAll(() => folder.remove());

function verdictOn(yaml: string): string {
  const file = join(folder.path, 'web.yml');
  writeFileSync(file, yaml);
  try {
    loadWebConfig(file);
    return 'accepted';
  } catch (error) {
    return (error as Error).message;
  }
}

describe.each([
  ['as upstream', rows.filter(({ stricter }) => !stricter)],
  ['stricter than upstream', rows.filter(({ stricter }) => stricter)],
] as const)('%s', (_title, some) => {
  test.each(some.map((row) => [row.title, row.why, row] as const))(
    '%s (%s)',
    (_row, _why, { yaml, verdict }) => {
      const got = verdictOn(yaml);
      if (typeof verdict === 'string') expect(got).toBe(verdict);
      else expect(got).toMatch(verdict);
    },
  );
});

test('a file that is not there is refused with its name', () => {
  expect(() => loadWebConfig(join(folder.path, 'somefile'))).toThrow(/somefile: cannot be read/);
});

test('everything that is wrong is said at once, with its line', () => {
  const said = verdictOn(
    'basic_auth_users:\n  john: doe\nhttp_server_config:\n  headers:\n    X-Frame-Options: foo\n',
  );
  expect(said).toMatch(/web\.yml:2:3: basic_auth_users\.john: is no bcrypt hash/);
  expect(said).toMatch(/web\.yml:5:5: http_server_config\.headers\.X-Frame-Options: /);
});
