import { type RepositoryView, repositoryMetrics } from '../metrics.ts';
import { type Chunk, createChunk } from './chunk.ts';
import { escapeLabel, formatValue } from './text.ts';

/** Some of a registry's repositories, rendered together: the smallest piece that a change renders again. */
export interface Bucket {
  readonly members: ReadonlyMap<string, RepositoryView>;
  /** One per row of the table; absent where no member has a sample. */
  readonly chunks: readonly (Chunk | undefined)[];
  readonly series: number;
}

/** FNV-1a, 32 bits: cheap, and even enough over names. */
function hash(name: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1)
    value = Math.imul(value ^ name.charCodeAt(index), 0x01000193);
  return value >>> 0;
}

/** Compressing needs some text at once to be worth it, and a change should render little: about 128 each. */
export function bucketCount(repositories: number, current: number): number {
  let count = Math.max(1, current);
  while (repositories > count * 256) count *= 2;
  while (count > 1 && repositories < count * 32) count /= 2;
  return count;
}

/** Sorts repositories into buckets; within a bucket by name, as a reader expects. */
export function sortIntoBuckets(
  repositories: ReadonlyMap<string, RepositoryView>,
  count: number,
): Map<string, RepositoryView>[] {
  const names: string[][] = Array.from({ length: count }, () => []);
  for (const name of repositories.keys()) names[hash(name) % count]?.push(name);
  return names.map(
    (bucket) => new Map(bucket.sort().map((name) => [name, repositories.get(name) as RepositoryView])),
  );
}

/** Whether nothing that is rendered of the repositories changed. */
export function sameMembers(
  a: ReadonlyMap<string, RepositoryView>,
  b: ReadonlyMap<string, RepositoryView>,
): boolean {
  if (a.size !== b.size) return false;
  for (const [name, view] of a) {
    const other = b.get(name);
    if (!other || other.totals !== view.totals || other.pushCounts !== view.pushCounts) return false;
  }
  return true;
}

/** Renders all rows of a bucket. */
export function renderBucket(
  members: ReadonlyMap<string, RepositoryView>,
  labels: string,
  perImage: boolean,
  keepPlain: boolean,
): Bucket {
  let series = 0;
  const prepared = [...members].map(
    ([name, view]) => [`{${labels},repository="${escapeLabel(name)}"`, view] as const,
  );
  const chunks = repositoryMetrics.map((row) => {
    if (row.perImage && !perImage) return undefined;
    let text = '';
    for (const [prefix, view] of prepared) {
      row.samples(view, (value, ...values) => {
        if (value === undefined) return;
        let sample = row.name + prefix;
        for (const [index, label] of row.labels.entries())
          sample += `,${label}="${escapeLabel(values[index] ?? '')}"`;
        text += `${sample}} ${formatValue(value)}\n`;
        series += 1;
      });
    }
    return text === '' ? undefined : createChunk(text, keepPlain);
  });
  return { members, chunks, series };
}
