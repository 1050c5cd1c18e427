import type { Image, Kind, RepositoryFacts } from '../../model.ts';

/** What of a repository could not be read, so that what depends on it is unknown. */
export interface Unread {
  /** Images whose manifests were not read. */
  readonly images: Map<string, Image>;
  /** A Sigstore bundle in the archive may be a signature. */
  archivedBundle: boolean;
  /** There are images without a digest. */
  rows: boolean;
  /** When an image was pushed. */
  pushes: boolean;
  /** When an image was pulled. */
  pulls: boolean;
  /** The state or the findings of a scan. */
  scans: boolean;
}

export const createUnread = (): Unread => ({
  images: new Map(),
  archivedBundle: false,
  rows: false,
  pushes: false,
  pulls: false,
  scans: false,
});

/** Each image was pushed some time: without it, which of them is the newest is unknown. */
export const lacksPush = ({ kind, pushedAt }: Image): boolean =>
  pushedAt === undefined && (kind === 'image' || kind === 'index');

/** What is unknown of the repository because of it. */
export function factsOf({ images, archivedBundle, rows, pushes, pulls, scans }: Unread): RepositoryFacts {
  const all = [...images.values()];
  const unknownKinds: Kind[] = [];
  const indexes = all.some(({ kind }) => kind === 'index');
  if (indexes) unknownKinds.push('platform', 'attestation');
  const bundles = all.some(({ kind }) => kind !== 'index');
  if (bundles) unknownKinds.push('signature', 'attestation');
  return {
    listsSignatures: !bundles && !archivedBundle,
    unknownKinds,
    unreadTags: rows ? 'all' : undefined,
    newestUnknown: pushes,
    lastPullUnknown: pulls,
    // Of an index that was not read, it is unknown which platforms' findings are its own.
    findingsUnknown: scans || indexes,
  };
}
