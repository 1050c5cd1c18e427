import { readFileSync } from 'node:fs';

const packageFile = new URL('../package.json', import.meta.url);

/** Version and, where the build set it (`REVISION`), the commit. */
export const build: { readonly version: string; readonly revision: string } = {
  version: (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version,
  revision: process.env['REVISION'] ?? 'unknown',
};
