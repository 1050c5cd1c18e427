import { expect, test } from 'vitest';
import { circles, forbiddenImports, layerMistakes } from '../scripts/layers.ts';

/** What `npm run check` says of imports; see scripts/layers.ts. */

test('no file of src/ imports what its room may not', () => {
  expect(layerMistakes()).toEqual([]);
});

test.each([
  ['model.ts', './errors.ts'],
  ['fold.ts', './providers/oci.ts'],
  ['http.ts', './provider.ts'],
  ['loop/cycle.ts', '../server/status-page.ts'],
  ['exposition/write.ts', '../loop.ts'],
  ['storage.ts', './daemon.ts'],
  ['events/harbor.ts', '../server/events.ts'],
  ['metrics/row.ts', '../../src/exposition.ts'],
  ['config.ts', './providers/index.ts'],
  ['providers/oci/names.ts', '../harbor/client.ts'],
  ['providers/oci/names.ts', '../index.ts'],
  ['fold/images.ts', 'undici'],
  ['providers/harbor.ts', 'express'],
  ['server.ts', './main.ts'],
])('%s may not import %s, and the message says what it may', (file, to) => {
  const [message, ...more] = forbiddenImports(file, `import { x } from '${to}';\n`);
  expect(more).toEqual([]);
  expect(message).toContain(`src/${file} imports ${to}`);
  expect(message).toContain(file === 'model.ts' ? 'may import only model' : 'may import only');
});

test('files that import each other are found, for types too', () => {
  const sources = new Map([
    ['a.ts', "import { b } from './folder/b.ts';"],
    ['folder/b.ts', "import type { C } from './c.ts';\nimport { d } from '../d.ts';"],
    ['folder/c.ts', "export { a } from '../a.ts';"],
    ['d.ts', ''],
  ]);
  expect(circles(sources)).toEqual([
    'src/a.ts imports src/folder/b.ts imports src/folder/c.ts imports src/a.ts: no circles',
  ]);
});

test.each([
  'import type { x } from "./providers/oci.ts"',
  "const { x } = await import('./providers/oci.ts')",
  "export { x } from './providers/oci.ts'",
  "import './providers/oci.ts'",
])('%s in fold.ts is found however it is written', (text) => {
  expect(forbiddenImports('fold.ts', text)).toHaveLength(1);
});

test('what the table allows is allowed', () => {
  expect(
    forbiddenImports(
      'loop/cycle.ts',
      "import { a } from '../fold.ts';\nimport { b } from './commit.ts';\nimport { c } from 'node:fs';\n",
    ),
  ).toEqual([]);
});
