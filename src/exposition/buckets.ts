import { type PackedView, type RepositoryView, repositoryMetrics } from '../metrics.ts';
import { unpackTotals } from '../totals.ts';
import { type Chunk, createChunk, pack } from './chunk.ts';
import { escapeLabel, formatValue } from './text.ts';

/** Some of a registry's repositories, rendered together: the smallest piece that a change renders again. */
export interface Bucket {
  readonly members: ReadonlyMap<string, PackedView>;
  /** One per row of the table; absent where no member has a sample. */
  readonly chunks: readonly (Chunk | undefined)[];
  readonly series: number;
}

export function unpackView({ totals, pushCounts }: PackedView): RepositoryView {
  return { ...(totals && { totals: unpackTotals(totals) }), ...(pushCounts && { pushCounts }) };
}

/** FNV-1a, 32 bits: cheap, and even enough over names. */
function hash(name: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1)
    value = Math.imul(value ^ name.charCodeAt(index), 0x01000193);
  return value >>> 0;
}

/**
 * Compressing needs some text at once to be worth it, and a bucket is rendered in one go, which must not hold the
 * event loop: 64 to 128 repositories each, unless there are fewer.
 */
export function bucketCount(repositories: number, current: number): number {
  let count = Math.max(1, current);
  while (repositories > count * 128) count *= 2;
  while (count > 1 && repositories < count * 16) count /= 2;
  return count;
}

/** Names by bucket; within a bucket in order, as a reader expects. */
export async function sortIntoBuckets(
  names: Iterable<string>,
  count: number,
  pause: () => Promise<void> | undefined,
): Promise<string[][]> {
  const buckets: string[][] = Array.from({ length: count }, () => []);
  let sorted = 0;
  for (const name of names) {
    buckets[hash(name) % count]?.push(name);
    sorted += 1;
    if (sorted % 1000 === 0) await pause();
  }
  for (const bucket of buckets) {
    bucket.sort();
    await pause();
  }
  return buckets;
}

/** Whether the buckets hold just these repositories. */
export async function sameNames(
  buckets: readonly Bucket[],
  repositories: ReadonlyMap<string, PackedView>,
  pause: () => Promise<void> | undefined,
): Promise<boolean> {
  if (buckets.reduce((sum, { members }) => sum + members.size, 0) !== repositories.size) return false;
  for (const { members } of buckets) {
    for (const name of members.keys()) if (!repositories.has(name)) return false;
    await pause();
  }
  return true;
}

/** Whether nothing that is rendered of a bucket's repositories changed. */
export function unchanged(
  bucket: Bucket,
  names: readonly string[],
  repositories: ReadonlyMap<string, PackedView>,
): boolean {
  if (bucket.members.size !== names.length) return false;
  for (const name of names) {
    const [before, now] = [bucket.members.get(name), repositories.get(name)];
    if (!before || before.totals !== now?.totals || before.pushCounts !== now?.pushCounts) return false;
  }
  return true;
}

/** Renders all rows of a bucket, row by row. */
export async function renderBucket(
  members: ReadonlyMap<string, PackedView>,
  labels: string,
  perImage: boolean,
  keepPlain: boolean,
  pause: () => Promise<void> | undefined,
): Promise<Bucket> {
  let series = 0;
  const prepared = [...members].map(
    ([name, view]) => [`{${labels},repository="${escapeLabel(name)}"`, unpackView(view)] as const,
  );
  const chunks: (Chunk | undefined)[] = [];
  for (const row of repositoryMetrics) {
    if (row.perImage && !perImage) {
      chunks.push(undefined);
      continue;
    }
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
    chunks.push(text === '' ? undefined : createChunk(text, keepPlain));
    await pause();
  }
  return { members, chunks: pack(chunks), series };
}
