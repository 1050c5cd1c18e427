import type { z } from 'zod';
import type { InUseSettings, SourceSettings } from '../in-use/settings.ts';
import { sourceCommon } from '../in-use/settings.ts';
import { sourceKinds } from '../in-use/sources/index.ts';
import { checkTls } from '../options.ts';
import type { createConfigSchema } from './schema.ts';

type Section = NonNullable<z.infer<ReturnType<typeof createConfigSchema>>['inUse']>;
type Source = Section['sources'][number] & { readonly tls?: SourceSettings['tls'] };

/** Takes note of a mistake; the path begins within the section. */
type Refuse = (path: readonly PropertyKey[], message: string) => void;

function resolveSource(source: Source, written: unknown): SourceSettings {
  const { name, type, interval, timeout, staleAfter, maxBytes, tls = {} } = source;
  const intervalMs = interval ?? 60_000;
  const staleAfterMs = staleAfter ?? Math.max(sourceKinds[type]?.staleAfterMs ?? 0, 3 * intervalMs);
  const own = Object.entries(source).filter(
    ([key]) => key !== 'type' && key !== 'tls' && !(key in sourceCommon),
  );
  return {
    ...{ name, type, intervalMs, staleAfterMs, tls },
    timeoutMs: timeout ?? 50_000,
    maxBytes: maxBytes ?? 128 * 2 ** 20,
    options: Object.fromEntries(own),
    written: JSON.stringify(written),
  };
}

/** `inUse:` with its defaults; undefined where it is not configured. */
export function resolveInUse(
  section: Section | undefined,
  document: unknown,
  refuse: Refuse,
): InUseSettings | undefined {
  if (!section) return undefined;
  const written = (document as { inUse: { sources: unknown[] } }).inUse.sources;
  const names = new Set<string>();
  for (const [index, source] of section.sources.entries()) {
    const { name, tls = {}, staleAfter, interval = 60_000 } = source as Source;
    const at = ['sources', index];
    if (names.has(name)) refuse([...at, 'name'], 'another source has this name too: names are unique');
    if (name === 'scanner')
      refuse([...at, 'name'], "is what the registries' own scanners are called: take another");
    names.add(name);
    checkTls(tls, (path, message) => refuse([...at, 'tls', ...path], message));
    if (staleAfter !== undefined && staleAfter < interval)
      refuse(
        [...at, 'staleAfter'],
        'is shorter than the time between two readings: data would vanish in between',
      );
  }
  return {
    maxImages: section.maxImages ?? 2_000,
    sources: section.sources.map((source, index) => resolveSource(source as Source, written[index])),
  };
}
