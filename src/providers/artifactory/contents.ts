import pMap from 'p-map';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { matchesDigest } from '../../images/digest.ts';
import { type Document, jsonOf, parseManifest, sizeOf } from '../../images/manifest.ts';
import type { Kind } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { type Api, escapePath } from './api.ts';
import type { Manifest, Target } from './layout.ts';

/** What is remembered of a document by its digest, which never changes. */
export interface Content {
  readonly kind: Kind;
  /** The document, its config and its layers. */
  readonly size?: number;
  /** Of an index. */
  readonly children?: readonly { readonly digest: string; readonly attestation: boolean }[];
  /** What it is attached to. */
  readonly subject?: string;
  /** Something of it cannot be understood: what it is, what it lists, or what it is about. */
  readonly vague?: true;
}

/** Reads those documents of which the search does not tell enough, each once. */
export interface Contents {
  of(digest: string): Content | undefined;
  /**
   * Reads what is not known yet, as far as this poll may.
   * @returns the first error, when a document could not be read; one that is gone is none
   */
  read(target: Target, manifests: Iterable<Manifest>): Promise<unknown>;
}

const subjectOf = z.object({ subject: z.object({ digest: z.string() }).nullish() });

/** What is told of a manifest that cannot be understood; it is stored for good, so that it is not asked for again. */
const vagueNotice = 'a manifest cannot be understood: what depends on it is unknown';

/** What a document is; its bytes are those of its digest. */
function contentOf(document: Document): Content {
  try {
    const record = parseManifest(document);
    const subject = subjectOf.safeParse(jsonOf(document));
    const size = record.kind === 'index' ? undefined : sizeOf(record);
    // Sizes that are none make the size unknown, and nothing else.
    const vague = record.incomplete || (record.odd !== undefined && !record.odd.startsWith('size'));
    return {
      kind: record.kind,
      size,
      children: record.children?.map(({ digest, kind }) => ({ digest, attestation: kind === 'attestation' })),
      subject: subject.data?.subject?.digest,
      vague: vague || !subject.success ? true : undefined,
    };
  } catch {
    return { kind: 'other', vague: true };
  }
}

export function createContents(input: {
  readonly api: Api;
  readonly context: CollectContext;
  /** Documents per poll at most. */
  readonly budget: number;
}): Contents {
  const { api, context } = input;
  const { memory } = context;
  const contents = new Map<string, Content>();
  /** Why documents could not be read in this poll, in which they are not asked for again; undefined: they are gone. */
  const failures = new Map<string, unknown>();
  let left = input.budget;

  function of(digest: string): Content | undefined {
    const here = contents.get(digest) ?? memory.get<Content>(`content ${digest}`)?.value;
    if (here) contents.set(digest, here);
    return here;
  }

  async function fetch(target: Target, manifest: Manifest): Promise<Content | undefined> {
    const name = manifest.index ? 'list.manifest.json' : 'manifest.json';
    const path = escapePath(`${target.storage}/${manifest.path}/${name}`);
    const response = await api.request({
      path: `artifactory/${path}`,
      // Reading it is no pull: https://docs.jfrog.com/artifactory/reference/retrieveartifact
      query: { skipUpdateStats: 'true' },
      operation: 'manifest',
      // 404: deleted meanwhile, or a cache's that has expired.
      accept: [404],
    });
    if (response.status === 404) {
      context.tell(
        `no manifest ${target.key}`,
        { key: target.key, path: manifest.path },
        'Artifactory lists a manifest and does not give it: what depends on it is unknown',
      );
      return undefined;
    }
    if ((await matchesDigest(response.body, manifest.digest)) === false)
      throw new CollectError(
        'invalid_response',
        `${response.url.origin} answered for ${manifest.path}/${name} with what has another digest than it says`,
      );
    const content = contentOf(response);
    if (content.vague)
      context.tell(`vague manifest ${target.key}`, { key: target.key, path: manifest.path }, vagueNotice);
    return content;
  }

  return {
    of,
    async read(target, manifests) {
      const wanted = new Map<string, Manifest>();
      let failure: unknown;
      for (const manifest of manifests) {
        const { digest } = manifest;
        failure ??= failures.get(digest);
        if (!of(digest) && !failures.has(digest)) wanted.set(digest, manifest);
      }
      const now = [...wanted.values()].slice(0, Math.max(0, left));
      left -= now.length;
      if (now.length < wanted.size)
        context.log.info(
          { key: target.key, left: wanted.size - now.length },
          'manifests remain to be read: the next polls go on',
        );
      await pMap(
        now,
        async (manifest) => {
          try {
            const content = await fetch(target, manifest);
            if (!content) return void failures.set(manifest.digest, undefined);
            contents.set(manifest.digest, content);
            memory.set(`content ${manifest.digest}`, content);
          } catch (error) {
            context.signal.throwIfAborted();
            failures.set(manifest.digest, error);
            failure ??= error;
          }
        },
        { concurrency: context.concurrency },
      );
      return failure;
    },
  };
}
