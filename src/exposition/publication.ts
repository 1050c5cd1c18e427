import type { PackedView, RegistryView } from '../metrics.ts';
import type { Refused } from './samples.ts';

/** What of one registry is exposed from now on. */
export interface RegistryPublication {
  readonly view: RegistryView;
  readonly repositories: ReadonlyMap<string, PackedView>;
}

/** What a publish did. */
export interface Publication {
  readonly series: number;
  readonly renderedBuckets: number;
  /** Series that were left out, since they would have made the body unreadable. */
  readonly refused: Refused;
}
