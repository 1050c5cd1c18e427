import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../src/config.ts';
import { providers } from '../src/providers/index.ts';
import { programs } from './support/programs.ts';

/** Every configuration that documentation shows is one that works. */
const root = join(import.meta.dirname, '..');
const files = (folder: string, suffix: string) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(suffix))
    .map((name) => `${folder}/${name}`);

const documents = ['README.md', ...files('docs', '.md'), ...files('docs/providers', '.md')].flatMap((file) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].flatMap(([, text = '']) =>
    /^(defaults|registries):/m.test(text) ? [[file, text] as const] : [],
  ),
);
const examples = files('examples', '.yaml').map(
  (file) => [file, readFileSync(join(root, file), 'utf8')] as const,
);

test.each([...documents, ...examples])('the configuration in %s is accepted', (file, text) => {
  expect(parseConfig(text, { file, providers, env: {} }).registries.length).toBeGreaterThan(0);
});

describe.skipIf(!programs('promtool'))('promtool', () => {
  test('accepts the example for Prometheus', () => {
    execFileSync('promtool', ['check', 'config', join(root, 'examples', 'prometheus.yml')]);
  });
});
