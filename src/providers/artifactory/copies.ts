import type { Replication } from '../../model.ts';

export interface Copies {
  readonly replications: readonly Replication[];
  /** Keys of repositories that are copied somewhere. */
  readonly replicated: ReadonlySet<string>;
}

/** An address as it may be shown: without user, password and query. */
export function shownAddress(url: string | null | undefined): string {
  if (!url || !URL.canParse(url)) return '';
  const { host, pathname } = new URL(url);
  return `${host}${pathname.replace(/\/+$/, '')}`;
}
