import type { Replication } from '../../model.ts';

/** Copies that are made in one way: by replication, or within a federation. */
export interface Way {
  readonly replications: readonly Replication[];
  /** Keys of repositories that are copied somewhere. */
  readonly replicated: ReadonlySet<string>;
}

export interface Copies extends Pick<Way, 'replications'> {
  /** Whether a repository is copied somewhere; undefined where that is unknown. */
  isReplicated(key: string): boolean | undefined;
}

/** An address as it may be shown: without user, password and query. */
export function shownAddress(url: string | null | undefined): string {
  if (!url || !URL.canParse(url)) return '';
  const { host, pathname } = new URL(url);
  return `${host}${pathname.replace(/\/+$/, '')}`;
}
