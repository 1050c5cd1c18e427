/** What of Google's messages is used, whichever transport they came by. Enums are their numbers. */

export interface DockerImageRow {
  /** The name's last part: `PACKAGE@sha256:…`, slashes of the package as they are. */
  readonly image: string;
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

/** `PACKAGE@DIGEST` of a resource name; packages with slashes are escaped in it. */
export function imageOf(name: string): string {
  const image = name.slice(name.lastIndexOf('/dockerImages/') + '/dockerImages/'.length);
  return image.includes('%') ? decodeURIComponent(image) : image;
}
