import { type PackedView, repositoryMetrics } from '../metrics.ts';
import { createYielder } from '../yielding.ts';
import { type Bucket, bucketCount, renderBucket, sameNames, sortIntoBuckets, unchanged } from './buckets.ts';
import { type Chunk, type Joined, join } from './chunk.ts';
import { collidingNames, labelsOf, type OwnRows, renderOwnRows } from './own.ts';
import type { Publication, RegistryPublication } from './publication.ts';
import { createSampleWriter, mergeRefused } from './samples.ts';

/** Ready buffers of one registry. */
export interface Published {
  readonly own: OwnRows;
  readonly buckets: readonly Bucket[];
  readonly repositoryRows: readonly (Joined | undefined)[];
}

type Repositories = RegistryPublication['repositories'];
type Pause = ReturnType<typeof createYielder>;

/** The names of each bucket. As a rule they are those of last time: then they need not be sorted again. */
async function namesOfBuckets(
  earlier: readonly Bucket[],
  repositories: Repositories,
  count: number,
  pause: Pause,
) {
  return (await sameNames(earlier, repositories, pause))
    ? earlier.map(({ members }) => [...members.keys()])
    : await sortIntoBuckets(repositories.keys(), count, pause);
}

function dropPlain({ chunks }: Bucket): void {
  for (const chunk of chunks) if (chunk) chunk.plain = undefined;
}

/** The buckets of a registry: those that changed are rendered, the others stay. */
async function renderBuckets(
  before: readonly Bucket[],
  repositories: Repositories,
  labels: ReturnType<typeof labelsOf>,
  keepPlain: boolean,
) {
  const pause = createYielder();
  const count = bucketCount(repositories.size, Math.max(1, before.length));
  const earlier = before.length === count ? before : [];
  const buckets: Bucket[] = [];
  let renderedBuckets = 0;
  for (const [index, names] of (await namesOfBuckets(earlier, repositories, count, pause)).entries()) {
    const last = earlier[index];
    if (last && unchanged(last, names, repositories)) {
      if (!keepPlain) dropPlain(last);
      buckets.push(last);
    } else {
      const members = new Map(names.map((name) => [name, repositories.get(name) as PackedView]));
      buckets.push(await renderBucket(members, labels, keepPlain, pause));
      renderedBuckets += 1;
    }
    await pause();
  }
  return { buckets, renderedBuckets };
}

/** The samples of each family, of all buckets. */
async function joinRows(buckets: readonly Bucket[]): Promise<(Joined | undefined)[]> {
  const pause = createYielder();
  const rows: (Joined | undefined)[] = [];
  for (const index of repositoryMetrics.keys()) {
    const chunks = buckets
      .map((bucket) => bucket.chunks[index])
      .filter((chunk): chunk is Chunk => chunk !== undefined);
    rows.push(chunks.length > 0 ? join(chunks) : undefined);
    await pause();
  }
  return rows;
}

/** Renders what changed of a registry. */
export async function render(
  { view, repositories: all }: RegistryPublication,
  before: Published | undefined,
  keepPlain: boolean,
): Promise<{ readonly published: Published; readonly publication: Publication }> {
  const colliding = collidingNames(all);
  const repositories =
    colliding.size === 0 ? all : new Map([...all].filter(([name]) => !colliding.has(name)));
  const { buckets, renderedBuckets } = await renderBuckets(
    before?.buckets ?? [],
    repositories,
    labelsOf(view),
    keepPlain,
  );
  const repositoryRows = await joinRows(buckets);
  const own = renderOwnRows(view, keepPlain);
  const writer = createSampleWriter();
  for (const name of colliding) writer.refuse('duplicate', `the repository ${JSON.stringify(name)}`);
  return {
    published: { own, buckets, repositoryRows },
    publication: {
      series: own.series + buckets.reduce((sum, bucket) => sum + bucket.series, 0),
      renderedBuckets,
      refused: mergeRefused([own.refused, ...buckets.map(({ refused }) => refused), writer.refused]),
    },
  };
}
