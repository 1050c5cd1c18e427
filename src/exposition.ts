import { assemble, bodyOf, createHeads } from './exposition/body.ts';
import type { Joined } from './exposition/chunk.ts';
import type { Encoding } from './exposition/negotiate.ts';
import { renderOwnRows } from './exposition/own.ts';
import type { Publication, RegistryPublication } from './exposition/publication.ts';
import { type Published, render } from './exposition/render.ts';
import type { Format } from './exposition/text.ts';
import type { ExpositionBody } from './exposition/write.ts';
import { type RegistryView, type RepositoryView, registryMetrics, repositoryMetrics } from './metrics.ts';
import { createQueue, type Queue } from './queue.ts';

export { unpackView } from './exposition/buckets.ts';
export { negotiate } from './exposition/negotiate.ts';
export { type Refused, refusals } from './exposition/samples.ts';
export { renderSelf } from './exposition/self.ts';
export { takeTurn, writeBody } from './exposition/write.ts';

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
  const heads = createHeads();
  const assembled = new Map<Format, Joined>();
  const queues = new Map<string, Queue>();
  let plainAskedAt = Number.NEGATIVE_INFINITY;
  const plainWanted = () => performance.now() - plainAskedAt < plainIdleMs;
  const sorted = () => [...registries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, published]) => published);

  function show(registry: string, published: Published): void {
    registries.set(registry, published);
    assembled.clear();
  }

  /** Made once per publish. */
  function ready(format: Format): Joined {
    const body = assembled.get(format) ?? assemble(sorted(), heads, format);
    assembled.set(format, body);
    return body;
  }

  return {
    publish(registry, publication) {
      // One after the other: the later one wins.
      const queue = queues.get(registry) ?? createQueue();
      queues.set(registry, queue);
      return queue.run(async () => {
        const rendered = await render(publication, registries.get(registry), plainWanted());
        show(registry, rendered.published);
        return rendered.publication;
      });
    },
    updateView(registry, view) {
      const before = registries.get(registry);
      if (before) show(registry, { ...before, own: renderOwnRows(view, plainWanted()) });
    },
    remove(registry) {
      queues.delete(registry);
      registries.delete(registry);
      assembled.clear();
    },
    body(format, encoding, own) {
      if (encoding === 'identity') plainAskedAt = performance.now();
      return bodyOf(ready(format), own, format, encoding);
    },
  };
}
