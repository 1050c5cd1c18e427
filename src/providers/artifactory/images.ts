import { type AttachedTag, splitTags } from '../../images/attached-tags.ts';
import type { Image, Kind } from '../../model.ts';
import { newestOf } from '../../times.ts';
import type { Content, Contents } from './contents.ts';
import type { Manifest, Target } from './layout.ts';

/** All manifests of one image that have the same digest: its tags, and its folder without a tag. */
export interface Entry {
  readonly digest: string;
  readonly index: boolean;
  readonly tags: string[];
  readonly manifests: Manifest[];
}

/** The manifests of one image (`IMAGE` of `REPOKEY/IMAGE`) by digest. */
export function entriesOf(manifests: readonly Manifest[]): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const manifest of manifests) {
    const { digest, index, tag } = manifest;
    const entry = entries.get(digest) ?? { digest, index, tags: [], manifests: [] };
    if (tag !== undefined) entry.tags.push(tag);
    entry.manifests.push(manifest);
    entries.set(digest, entry);
  }
  return entries;
}

/** What a manifest is. */
export interface Row {
  readonly kind: Kind;
  /** Of an index whose document was read. */
  readonly platforms?: readonly string[] | undefined;
  /** It may be of another kind. */
  readonly vague?: true;
}

/** What the manifests of one image are to each other. */
export interface Sorted {
  /** What is counted, by digest. */
  readonly rows: ReadonlyMap<string, Row>;
  /** Digests that have a signature. */
  readonly signed: ReadonlySet<string>;
  /** Manifests whose documents are needed and were not read yet. */
  readonly unread: readonly Manifest[];
  /** Whether all documents that are needed were read and understood. */
  readonly whole: boolean;
}

/** An index may list indexes; deeper than this it is not something that people build. */
const deepest = 3;

/**
 * Sorts images, platforms and what is attached to them, from the names of folders and the documents read so far. An
 * untagged manifest that no index lists is something attached, or an image that lost its tag: its document tells.
 */
class Sorter {
  readonly rows = new Map<string, Row>();
  readonly signed = new Set<string>();
  readonly unread: Manifest[] = [];
  whole = true;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #contents: Pick<Contents, 'of'>;
  /** What indexes list. */
  readonly #listed = new Map<string, 'platform' | 'attestation'>();
  /** Indexes that are no images of their own. */
  readonly #parts = new Set<string>();
  /** What an index of referrers lists, and what that is about: the documents themselves need not say it. */
  readonly #attachedTo = new Map<string, string>();
  /** Whether it is unknown what an index lists. */
  #hidden = false;

  constructor(entries: ReadonlyMap<string, Entry>, contents: Pick<Contents, 'of'>) {
    this.#entries = entries;
    this.#contents = contents;
  }

  /** What an entry's document says; undefined where it was not read or cannot be understood. */
  #contentOf(entry: Entry): Content | undefined {
    const content = this.#contents.of(entry.digest);
    const [first] = entry.manifests;
    if (!content && first) this.unread.push(first);
    if (content && !content.vague) return content;
    this.whole = false;
    return undefined;
  }

  #platformsOf(children: NonNullable<Content['children']>, depth: number): string[] {
    return children.flatMap(({ digest, attestation }) => {
      const entry = this.#entries.get(digest);
      if (entry?.index && depth < deepest) {
        this.#parts.add(digest);
        return this.#platformsOf(this.#contentOf(entry)?.children ?? [], depth + 1);
      }
      const attests = attestation || this.#contents.of(digest)?.kind === 'attestation';
      this.#listed.set(digest, attests ? 'attestation' : 'platform');
      return attests ? [] : [digest];
    });
  }

  /** What the names of folders tell: indexes, and what a tag attaches to something. */
  byName(): void {
    for (const entry of this.#entries.values()) {
      const { imageTags, attachedTags } = splitTags(entry.tags, entry.digest);
      const [attached] = imageTags.length === 0 ? attachedTags : [];
      if (attached) this.#addAttached(entry, attached);
      else if (entry.index) {
        const children = this.#contentOf(entry)?.children;
        this.#hidden ||= !children;
        this.rows.set(entry.digest, { kind: 'index', platforms: children && this.#platformsOf(children, 1) });
      }
    }
    for (const digest of this.#parts) if (this.rows.get(digest)?.kind === 'index') this.rows.delete(digest);
  }

  #addAttached(entry: Entry, { kind, subject }: AttachedTag): void {
    this.#parts.add(entry.digest);
    if (kind === 'signature') this.signed.add(subject);
    if (kind !== undefined) this.rows.set(entry.digest, { kind });
    // A tag of the referrers fallback names an index, which is no image: what it lists is about the subject.
    else
      for (const { digest } of this.#contentOf(entry)?.children ?? []) this.#attachedTo.set(digest, subject);
  }

  /** All others: what an index lists, and what their documents tell. */
  byContent(packageType: Target['packageType']): void {
    for (const entry of this.#entries.values()) {
      const { digest } = entry;
      if (entry.index || this.rows.has(digest) || this.#parts.has(digest)) continue;
      this.rows.set(digest, this.#rowOf(entry, packageType));
    }
  }

  #rowOf(entry: Entry, packageType: Target['packageType']): Row {
    const isTagged = entry.tags.length > 0;
    const part = this.#listed.get(entry.digest);
    if (!isTagged && part) return { kind: part };
    if (isTagged && packageType === 'helmoci') return { kind: 'chart' };
    if (isTagged && packageType === 'docker') return { kind: 'image' };
    // While an index was not read, what has no tag may be its platform.
    const content = this.#hidden && !isTagged ? undefined : this.#contentOf(entry);
    const subject = content?.subject ?? this.#attachedTo.get(entry.digest);
    if (content?.kind === 'signature' && subject !== undefined) this.signed.add(subject);
    // As a platform it has to have a size for the sum to be known.
    return content || isTagged ? { kind: content?.kind ?? 'image' } : { kind: 'platform', vague: true };
  }
}

export function sortEntries(
  entries: ReadonlyMap<string, Entry>,
  contents: Pick<Contents, 'of'>,
  packageType: Target['packageType'],
): Sorted {
  const sorter = new Sorter(entries, contents);
  sorter.byName();
  sorter.byContent(packageType);
  return sorter;
}

/** The tags of an entry that name an image. */
export const imageTagsOf = (entry: Entry): readonly string[] => splitTags(entry.tags, entry.digest).imageTags;

/** What an image's own manifests say of it. */
export const timesOf = ({ manifests }: Entry): Pick<Image, 'pushedAt' | 'pulledAt'> => ({
  pushedAt: newestOf(manifests.map(({ pushedAt }) => pushedAt)),
  pulledAt: newestOf(manifests.map(({ stats }) => stats?.pulledAt)),
});
