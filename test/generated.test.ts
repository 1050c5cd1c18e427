import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generateChartFiles } from '../scripts/chart-files.ts';
import { generatedFiles } from '../scripts/generated.ts';

const root = join(import.meta.dirname, '..');
const files = new Map([...(await generatedFiles()), ...(await generateChartFiles())]);

test.each([...files])('%s is what `npm run generate` writes', (path, content) => {
  expect(readFileSync(join(root, path), 'utf8'), `${path} has drifted: npm run generate`).toBe(content);
});

test('no generated file is left over from something that is no longer there', () => {
  const chart = 'helm/container-registry-exporter/files';
  const there = [
    ...readdirSync(join(root, 'grafana'))
      .filter((name) => name.endsWith('.json'))
      .map((name) => `grafana/${name}`),
    ...readdirSync(join(root, chart), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1)),
  ];
  expect(there.filter((path) => !files.has(path))).toEqual([]);
});
