import {
  type Bucket,
  bucketCount,
  renderBucket,
  sameNames,
  sortIntoBuckets,
  unchanged,
} from './exposition/buckets.ts';
import {
  type Chunk,
  createChunk,
  gzipHeader,
  gzipTrailer,
  type Joined,
  join,
  joinAll,
  plainOf,
} from './exposition/chunk.ts';
import { contentTypes, type Encoding } from './exposition/negotiate.ts';
import { collidingNames, labelsOf, type OwnRows, renderOwnRows } from './exposition/own.ts';
import { createSampleWriter, mergeRefused, type Refused } from './exposition/samples.ts';
import { type Format, header } from './exposition/text.ts';
import type { ExpositionBody } from './exposition/write.ts';
import {
  type PackedView,
  type RegistryView,
  type RepositoryView,
  registryMetrics,
  repositoryMetrics,
} from './metrics.ts';
import { createQueue, type Queue } from './queue.ts';
import { createYielder } from './yielding.ts';

export { unpackView } from './exposition/buckets.ts';
export { negotiate } from './exposition/negotiate.ts';
export { type Refused, refusals } from './exposition/samples.ts';
export { renderSelf } from './exposition/self.ts';
export { takeTurn, writeBody } from './exposition/write.ts';

/** What of one registry is exposed from now on. */
export interface RegistryPublication {
  readonly view: RegistryView;
  readonly repositories: ReadonlyMap<string, PackedView>;
}

/** What a publish did. */
export interface Publication {
  readonly series: number;
  readonly renderedBuckets: number;
  /** Series that were left out, since they would have made the body unreadable. */
  readonly refused: Refused;
}

/** Ready buffers of all registries. Rendering happens when data changes, never when it is scraped. */
export interface Exposition {
  /** Renders what changed, in slices, and then swaps one reference: a scrape sees the old or the new data whole. */
  publish(registry: string, publication: RegistryPublication): Promise<Publication>;
  /** Renders the rows of the registry itself, at once. */
  updateView(registry: string, view: RegistryView): void;
  remove(registry: string): void;
  /** The body of a scrape, with the exporter's own metrics at its end. */
  body(format: Format, encoding: Encoding, own: string): ExpositionBody;
}

interface Published {
  readonly own: OwnRows;
  readonly buckets: readonly Bucket[];
  readonly repositoryRows: readonly (Joined | undefined)[];
}

/** Plain buffers are dropped when nobody asked for them for so long; Prometheus asks for gzip. */
const plainIdleMs = 600_000;

/** Series that a registry has besides those of its repositories. */
export function countOwnSeries(view: RegistryView): number {
  let count = 0;
  for (const row of registryMetrics)
    row.samples(view, (value) => {
      if (value !== undefined) count += 1;
    });
  return count;
}

/** Series that a repository would have, those of its single images apart. */
export function countSeries(view: RepositoryView): { readonly repository: number; readonly image: number } {
  let repository = 0;
  let image = 0;
  for (const row of repositoryMetrics)
    row.samples(view, (value) => {
      if (value === undefined) return;
      if (row.perImage) image += 1;
      else repository += 1;
    });
  return { repository, image };
}

export function createExposition(): Exposition {
  const registries = new Map<string, Published>();
  const headers = new Map(
    [...registryMetrics, ...repositoryMetrics].map((row) => [
      row.name,
      {
        text: join([createChunk(header(row, 'text'), true)]),
        openmetrics: join([createChunk(header(row, 'openmetrics'), true)]),
      },
    ]),
  );
  const assembled = new Map<Format, Joined>();
  const queues = new Map<string, Queue>();
  let plainAskedAt = Number.NEGATIVE_INFINITY;
  const plainWanted = () => performance.now() - plainAskedAt < plainIdleMs;

  const sorted = () => [...registries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, published]) => published);

  /** All families in the table's order, each with the samples of all registries; made once per publish. */
  function assemble(format: Format): Joined {
    const known = assembled.get(format);
    if (known) return known;
    const all = sorted();
    const parts: Joined[] = [];
    const family = (name: string, samples: (Joined | undefined)[]) => {
      const present = samples.filter((sample) => sample !== undefined);
      const head = headers.get(name)?.[format];
      if (present.length > 0 && head) parts.push(head, ...present);
    };
    for (const [index, row] of registryMetrics.entries())
      family(
        row.name,
        all.map(({ own }) => own.rows[index]),
      );
    for (const [index, row] of repositoryMetrics.entries())
      family(
        row.name,
        all.map(({ repositoryRows }) => repositoryRows[index]),
      );
    const whole = joinAll(parts);
    assembled.set(format, whole);
    return whole;
  }

  async function render(registry: string, publication: RegistryPublication): Promise<Publication> {
    const { view } = publication;
    const colliding = collidingNames(publication.repositories);
    const repositories =
      colliding.size === 0
        ? publication.repositories
        : new Map([...publication.repositories].filter(([name]) => !colliding.has(name)));
    const previous = registries.get(registry);
    const pause = createYielder();
    const keepPlain = plainWanted();
    const count = bucketCount(repositories.size, previous?.buckets.length ?? 1);
    const labels = labelsOf(view);
    const buckets: Bucket[] = [];
    let renderedBuckets = 0;
    const known = previous?.buckets.length === count ? previous.buckets : [];
    // As a rule the names are those of last time: then they need not be sorted again.
    const sorted = (await sameNames(known, repositories, pause))
      ? known.map(({ members }) => [...members.keys()])
      : await sortIntoBuckets(repositories.keys(), count, pause);
    for (const [index, names] of sorted.entries()) {
      const before = known[index];
      if (before && unchanged(before, names, repositories)) {
        if (!keepPlain) for (const chunk of before.chunks) if (chunk) chunk.plain = undefined;
        buckets.push(before);
      } else {
        const members = new Map(names.map((name) => [name, repositories.get(name) as PackedView]));
        buckets.push(await renderBucket(members, labels, keepPlain, pause));
        renderedBuckets += 1;
      }
      await pause();
    }
    const repositoryRows: (Joined | undefined)[] = [];
    for (const index of repositoryMetrics.keys()) {
      const chunks = buckets
        .map((bucket) => bucket.chunks[index])
        .filter((chunk): chunk is Chunk => chunk !== undefined);
      repositoryRows.push(chunks.length > 0 ? join(chunks) : undefined);
      await pause();
    }
    const own = renderOwnRows(view, keepPlain);
    registries.set(registry, { own, buckets, repositoryRows });
    assembled.clear();
    const refusals = createSampleWriter();
    for (const name of colliding) refusals.refuse('duplicate', `the repository ${JSON.stringify(name)}`);
    return {
      series: own.series + buckets.reduce((sum, bucket) => sum + bucket.series, 0),
      renderedBuckets,
      refused: mergeRefused([own.refused, ...buckets.map(({ refused }) => refused), refusals.refused]),
    };
  }

  return {
    publish(registry, publication) {
      // One after the other: the later one wins.
      const queue = queues.get(registry) ?? createQueue();
      queues.set(registry, queue);
      return queue.run(() => render(registry, publication));
    },
    updateView(registry, view) {
      const previous = registries.get(registry);
      if (!previous) return;
      registries.set(registry, { ...previous, own: renderOwnRows(view, plainWanted()) });
      assembled.clear();
    },
    remove(registry) {
      queues.delete(registry);
      registries.delete(registry);
      assembled.clear();
    },
    body(format, encoding, own) {
      const tail = format === 'openmetrics' ? `${own}# EOF\n` : own;
      if (encoding === 'identity') plainAskedAt = performance.now();
      const ready = assemble(format);
      const last = join(tail === '' ? [] : [createChunk(tail, true)]);
      const whole = joinAll([{ ...ready, chunks: [] }, last]);
      const type = { 'Content-Type': contentTypes[format], Vary: 'Accept, Accept-Encoding' };
      if (encoding === 'gzip') {
        return {
          headers: { ...type, 'Content-Encoding': 'gzip' },
          length: gzipHeader.length + whole.deflatedLength + 10,
          *buffers() {
            yield gzipHeader;
            for (const { deflated } of ready.chunks) yield deflated;
            for (const { deflated } of last.chunks) yield deflated;
            yield gzipTrailer(whole);
          },
        };
      }
      return {
        headers: type,
        length: whole.length,
        async *buffers() {
          for (const { chunks } of [ready, last])
            for (const chunk of chunks) yield chunk.plain ?? (await plainOf(chunk));
        },
      };
    },
  };
}
