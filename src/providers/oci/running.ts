import pMap from 'p-map';
import type { Attempts } from '../../failing.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution } from './client.ts';
import { type Described, describe } from './describe.ts';
import type { Digests } from './digests.ts';

/** What runs and has no tag: the distribution API does not list it, and has to be asked for each digest. */
export interface Running {
  readonly described: readonly Described[];
  /** Digests that the registry does not have. */
  readonly absent: readonly string[];
}

interface Scope {
  readonly context: CollectContext;
  readonly client: Distribution;
  readonly digests: Digests;
  readonly attempts: Attempts;
  readonly repository: string;
}

const effect = 'whether an image that runs is still there is unknown';

/** Reads what a digest names. What was read once is remembered, so that the registry is asked whether it still has it. */
async function read(scope: Scope, digest: string): Promise<Described | 'absent' | 'unknown'> {
  const { client, repository, attempts } = scope;
  const image = await attempts.attempt({ kind: 'manifest', name: digest, effect }, async () => ({
    document: await client.manifest(repository, digest),
  }));
  if (!('value' in image)) return 'unknown';
  const { document } = image.value;
  if (!document) return 'absent';
  const described = await describe(scope, digest, { document });
  return described === 'gone' || 'error' in described ? 'unknown' : described;
}

/** @param tagged what tags name, with its platforms: that is known to be there */
export async function readRunning(scope: Scope, tagged: readonly Described[]): Promise<Running> {
  const { context, repository } = scope;
  const there = new Set(tagged.flatMap(({ digest, parts }) => [digest, ...parts.map((part) => part.digest)]));
  const asked = [...(context.images.running?.(repository) ?? [])].filter((digest) => !there.has(digest));
  const described: Described[] = [];
  const absent: string[] = [];
  await pMap(
    asked,
    async (digest) => {
      const image = await read(scope, digest);
      if (image === 'absent') absent.push(digest);
      else if (image !== 'unknown') described.push(image);
    },
    { concurrency: context.concurrency },
  );
  return { described, absent };
}
