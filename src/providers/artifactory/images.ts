import { splitTags } from '../../images/attached-tags.ts';
import type { Image, Kind } from '../../model.ts';
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

/** What the manifests of one image are to each other. */
export interface Sorted {
  /** What is counted, with its kind; an index with its platforms where its document was read. */
  readonly rows: ReadonlyMap<
    string,
    {
      readonly kind: Kind;
      readonly platforms?: readonly string[] /** It may be another. */;
      readonly vague?: true;
    }
  >;
  /** Digests that have a signature. */
  readonly signed: ReadonlySet<string>;
  /** Documents that tell what is not known yet. */
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
export function sortEntries(
  entries: ReadonlyMap<string, Entry>,
  contents: Pick<Contents, 'of'>,
  packageType: Target['packageType'],
): Sorted {
  const rows = new Map<string, { kind: Kind; platforms?: readonly string[]; vague?: true }>();
  const unread: Manifest[] = [];
  const signed = new Set<string>();
  const listed = new Map<string, 'platform' | 'attestation'>();
  const parts = new Set<string>();
  /** What an index of referrers lists, and what that is about: the documents themselves need not say it. */
  const attachedTo = new Map<string, string>();
  let hidden = false;
  let whole = true;

  /** What an entry's document says; undefined where it was not read or cannot be understood. */
  const content = (entry: Entry): Content | undefined => {
    const known = contents.of(entry.digest);
    const [first] = entry.manifests;
    if (!known && first) unread.push(first);
    if (known && !known.vague) return known;
    whole = false;
    return undefined;
  };
  const platformsOf = (children: NonNullable<Content['children']>, depth: number): string[] =>
    children.flatMap(({ digest, attestation }) => {
      const part = entries.get(digest);
      if (part?.index && depth < deepest) {
        parts.add(digest);
        return platformsOf(content(part)?.children ?? [], depth + 1);
      }
      const kind = attestation || contents.of(digest)?.kind === 'attestation' ? 'attestation' : 'platform';
      listed.set(digest, kind);
      return kind === 'platform' ? [digest] : [];
    });

  for (const entry of entries.values()) {
    const { imageTags, attachedTags } = splitTags(entry.tags);
    const [attached] = imageTags.length === 0 ? attachedTags : [];
    if (attached) {
      parts.add(entry.digest);
      // The tag of an index of referrers (OCI's fallback) is no image either; what it lists is looked at below.
      if (attached.kind === undefined) {
        for (const { digest } of content(entry)?.children ?? []) attachedTo.set(digest, attached.subject);
        continue;
      }
      rows.set(entry.digest, { kind: attached.kind });
      if (attached.kind === 'signature') signed.add(attached.subject);
    } else if (entry.index) {
      const children = content(entry)?.children;
      if (!children) hidden = true;
      rows.set(entry.digest, { kind: 'index', ...(children && { platforms: platformsOf(children, 1) }) });
    }
  }
  // An index that another one lists is a part of that.
  for (const digest of parts) if (rows.get(digest)?.kind === 'index') rows.delete(digest);

  for (const entry of entries.values()) {
    if (entry.index || rows.has(entry.digest) || parts.has(entry.digest)) continue;
    const tagged = entry.tags.length > 0;
    const part = listed.get(entry.digest);
    if (!tagged && part) rows.set(entry.digest, { kind: part });
    else if (packageType === 'helmoci' && tagged) rows.set(entry.digest, { kind: 'chart' });
    else if (packageType === 'docker' && tagged) rows.set(entry.digest, { kind: 'image' });
    // While an index was not read, what has no tag may be its platform.
    else if (hidden && !tagged) rows.set(entry.digest, { kind: 'platform', vague: true });
    else {
      const known = content(entry);
      // As a part of something it has to have a size for the sum to be known.
      if (known || tagged) rows.set(entry.digest, { kind: known?.kind ?? 'image' });
      else rows.set(entry.digest, { kind: 'platform', vague: true });
      const subject = known?.subject ?? attachedTo.get(entry.digest);
      if (known?.kind === 'signature' && subject !== undefined) signed.add(subject);
    }
  }
  return { rows, signed, unread, whole };
}

/** The tags of an entry that name an image. */
export const imageTagsOf = (entry: Entry): readonly string[] => splitTags(entry.tags).imageTags;

/** What an image's own manifests say of it. */
export function factsOf(entry: Entry): Pick<Image, 'pushedAt' | 'pulledAt'> {
  const newest = (times: readonly (number | undefined)[]): number | undefined =>
    times.reduce((a, b) => (a === undefined || (b !== undefined && b > a) ? b : a), undefined);
  const pushedAt = newest(entry.manifests.map((one) => one.pushedAt));
  const pulledAt = newest(entry.manifests.map((one) => one.stats?.pulledAt));
  return {
    pushedAt,
    pulledAt,
  };
}
