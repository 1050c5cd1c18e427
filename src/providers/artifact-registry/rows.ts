/** What of Google's messages is used, whichever transport they came by. Enums are their numbers. */

export interface DockerImageRow {
  /** Slashes are as they are. */
  readonly packageName: string;
  readonly digest: string;
  readonly tags: readonly string[];
  /** 0: not said. */
  readonly sizeBytes: number;
  /** Unix seconds; 0: not said. */
  readonly uploadedAt: number;
  readonly mediaType: string;
  readonly artifactType: string;
  readonly manifests: readonly { readonly digest: string; readonly attestation: boolean }[];
}

export interface SummaryRow {
  readonly resource: string;
  readonly severity: number;
  readonly fixable: number;
  readonly total: number;
}

export interface OccurrenceRow {
  readonly resource: string;
  readonly note: string;
  /** Unix seconds; 0: not said. */
  readonly updatedAt: number;
  readonly discovery?: {
    readonly status: number;
    readonly scannedAt: number;
    /** Its findings were put away: they are no longer counted by anything. */
    readonly archived: boolean;
  };
  readonly vulnerability?: { readonly severity: number; readonly fixable: boolean };
}

export interface Page<T> {
  readonly rows: readonly T[];
  /** Token of the next page; empty at the end. */
  readonly next: string;
}

/** A buildx attestation is listed by its index as a platform that nothing runs on. */
export const isAttestation = (architecture: string, os: string): boolean =>
  architecture === 'unknown' && os === 'unknown';

/** What stands before the image in a resource name. */
export const imagesFolder = '/dockerImages/';

/** A package as people write it: slashes are escaped in resource names. */
export const unescaped = (name: string): string => (name.includes('%') ? decodeURIComponent(name) : name);
