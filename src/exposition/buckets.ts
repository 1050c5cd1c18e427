import { imagesInUse, type PackedView, type RepositoryView, repositoryMetrics } from '../metrics.ts';
import type { ImageTotals } from '../model.ts';
import { keptName } from '../names.ts';
import { unpackTotals } from '../totals.ts';
import { type Chunk, createChunk, pack } from './chunk.ts';
import { createSampleWriter, type Refused, rowWriter, type SampleWriter, twiceOf } from './samples.ts';
import { escapeLabel } from './text.ts';

/** Some of a registry's repositories, rendered together: the smallest piece that a change renders again. */
export interface Bucket {
  readonly members: ReadonlyMap<string, PackedView>;
  /** One per row of the table; absent where no member has a sample. */
  readonly chunks: readonly (Chunk | undefined)[];
  readonly series: number;
  readonly refused: Refused;
}

export function unpackView({ totals: packed, pushCounts, inUse, gone }: PackedView): RepositoryView {
  const totals = packed && unpackTotals(packed);
  return {
    totals,
    pushCounts,
    inUse: inUse === undefined ? undefined : imagesInUse(JSON.parse(inUse), totals, gone === true),
  };
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
    if (!before || !now) return false;
    if (before.totals !== now.totals || before.pushCounts !== now.pushCounts) return false;
    if (before.inUse !== now.inUse || before.gone !== now.gone) return false;
    if (before.withoutImages !== now.withoutImages) return false;
  }
  return true;
}

const identityOf = ({ tag, digest }: ImageTotals): string => `${tag}\0${digest}`;

/** Each tag of each image once; a second one is refused with all of its series. */
function withDistinctImages(view: RepositoryView, writer: SampleWriter, repository: string): RepositoryView {
  const { totals } = view;
  if (!totals || totals.images.length < 2) return view;
  const distinct = new Map<string, ImageTotals>();
  for (const image of totals.images) {
    const identity = identityOf(image);
    if (distinct.has(identity))
      writer.refuse('duplicate', `an image of ${JSON.stringify(keptName(repository))}`);
    else distinct.set(identity, image);
  }
  if (distinct.size === totals.images.length) return view;
  return { ...view, totals: { ...totals, images: [...distinct.values()] } };
}

/** Renders all rows of a bucket, one repository after the other: what is unpacked of it is not needed for long. */
export async function renderBucket(
  members: ReadonlyMap<string, PackedView>,
  labels: string,
  keepPlain: boolean,
  pause: () => Promise<void> | undefined,
): Promise<Bucket> {
  const writer = createSampleWriter();
  const rows = repositoryMetrics.map((row) => ({
    perImage: row.perImage,
    write: rowWriter(writer, row, twiceOf(row.labels)),
    text: '',
  }));
  for (const [name, packed] of members) {
    const view = withDistinctImages(unpackView(packed), writer, name);
    const prefix = `${labels},repository="${escapeLabel(name)}"`;
    for (const row of rows) if (!(row.perImage && packed.withoutImages)) row.text += row.write(view, prefix);
    await pause();
  }
  const chunks: (Chunk | undefined)[] = [];
  for (const { text } of rows) {
    chunks.push(text === '' ? undefined : createChunk(text, keepPlain));
    await pause();
  }
  return { members, chunks: pack(chunks), series: writer.series, refused: writer.refused };
}
