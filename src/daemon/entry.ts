import type { RegistryConfig } from '../config.ts';
import type { RegistryLoop } from '../loop.ts';
import type { PlaceFinder } from '../places.ts';

/** A registry that is polled, and the configuration that it was started with. */
export interface RunningLoop {
  readonly config: RegistryConfig;
  readonly loop: RegistryLoop;
}

/** An entry of the configuration and the loops that it became: one, or one for each of its places. */
export interface Entry {
  readonly config: RegistryConfig;
  readonly loops: Map<string, RunningLoop>;
  /** Of an entry that covers several registries. */
  readonly finder?: PlaceFinder;
  /** Its registries by name, those of other shards among them; undefined before they were found. */
  registries?: ReadonlyMap<string, RegistryConfig>;
}
