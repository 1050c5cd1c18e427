/**
 * What of Google's messages is used, whichever transport they came by. Enums are their numbers. A number that no message
 * can mean is left as it came, or `NaN`: whoever uses it asks {@link isCount} and `isPastTime`.
 */

/** Settings of a repository; `undefined` is what could not be understood. */
export interface RepositoryRow {
  readonly name: string;
  readonly format: string | undefined;
  readonly mode: string | undefined;
  readonly sizeBytes: number;
  readonly registryUri: string | undefined;
  readonly immutableTags: boolean | undefined;
  /** Whether it has policies of cleaning up, and whether they only say what they would do. */
  readonly cleans: boolean | undefined;
  readonly cleansDry: boolean | undefined;
  /** Whether it is encrypted with a customer's key. */
  readonly hasKey: boolean | undefined;
  readonly scanning: string | undefined;
  /** Why it is scanned or not, in Google's words; empty: not said. */
  readonly scanningReason: string | undefined;
}

/** Whether it is a number of things or bytes. */
export const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

export interface DockerImageRow {
  /** Slashes are as they are; empty where the name cannot be understood. */
  readonly packageName: string;
  readonly digest: string;
  readonly tags: readonly string[];
  /** 0: not said. */
  readonly sizeBytes: number;
  /** Unix seconds; 0: not said. */
  readonly uploadedAt: number;
  readonly mediaType: string | undefined;
  readonly artifactType: string | undefined;
  readonly manifests: readonly { readonly digest: string; readonly attestation: boolean }[];
  /** The tags, or what it lists, could not be understood. */
  readonly oddTags?: true;
  readonly oddManifests?: true;
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
    /** Its findings are no longer kept up to date. */
    readonly inactive: boolean;
  };
  readonly vulnerability?: { readonly severity: number; readonly fixable: boolean };
}

export interface Page<T> {
  readonly rows: readonly T[];
  /** Token of the next page; empty at the end. */
  readonly next: string;
  /** Locations that are missing in it, as `projects/P/locations/L`. */
  readonly unreachable?: readonly string[];
}

/** A buildx attestation is listed by its index as a platform that nothing runs on. */
export const isAttestation = (architecture: string, os: string): boolean =>
  architecture === 'unknown' && os === 'unknown';

/** What stands before the image in a resource name. */
export const imagesFolder = '/dockerImages/';

/** A package as people write it: slashes are escaped in resource names. */
export function unescaped(name: string): string {
  if (!name.includes('%')) return name;
  try {
    return decodeURIComponent(name);
  } catch {
    return '';
  }
}
