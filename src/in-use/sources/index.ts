import type { InUseSourceKind } from '../source.ts';
import { file } from './file.ts';
import { kubernetes } from './kubernetes.ts';
import { prometheus } from './prometheus.ts';

/** Every kind of source; one more is a file and a line here. */
export const sourceKinds: Readonly<Record<string, InUseSourceKind>> = Object.fromEntries(
  [prometheus, kubernetes, file].map((kind) => [kind.type, kind]),
);
