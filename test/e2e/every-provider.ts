import { startArtifactorySimulator } from '../simulators/artifactory.ts';
import { startDockerHubSimulator } from '../simulators/docker-hub.ts';
import { truthFamilies as dockerHubFamilies, dockerHubTruth } from '../simulators/docker-hub-truth.ts';
import { createEstate } from '../simulators/estate.ts';
import type { FaultRule } from '../simulators/faults.ts';
import { startOciSimulator } from '../simulators/oci.ts';
import { populate } from '../simulators/oci-population.ts';
import { createStore } from '../simulators/oci-store.ts';
import { truthFamilies as artifactoryFamilies, artifactoryTruth } from '../support/artifactory-truth.ts';
import { truthFamilies as ociFamilies, ociTruth } from '../support/oci-truth.ts';

/** A registry that runs and is read by the exporter together with all others. */
export interface Participant {
  /** The provider's own part of the configuration. */
  readonly registry: Readonly<Record<string, unknown>>;
  /** Families that the truth covers, without `container_registry_`. */
  readonly families: readonly string[];
  /** Samples as they have to be exposed, without the labels that all have. */
  truth(): readonly string[];
  /** Lets every request fail, and no more. */
  break(): void;
  mend(): void;
  close(): Promise<void>;
}

const now = 1_795_000_000;

/** How most simulators are broken. */
const byFaults = (faults: FaultRule[]): Pick<Participant, 'break' | 'mend'> => ({
  break: () => void faults.push({ fault: { type: 'status', status: 500 } }),
  mend: () => void faults.splice(0),
});

/** One entry per provider, by its type. */
export const participants: Readonly<Record<string, () => Promise<Participant>>> = {
  async artifactory() {
    const estate = createEstate({ seed: 30, repositories: 5, now });
    const simulator = await startArtifactorySimulator({ estate });
    return {
      registry: { endpoint: simulator.url, auth: { token: simulator.token() } },
      families: artifactoryFamilies,
      truth: () => artifactoryTruth(estate, simulator),
      ...byFaults(simulator.faults),
      close: simulator.close,
    };
  },
  async 'docker-hub'() {
    const simulator = await startDockerHubSimulator({
      estate: createEstate({ seed: 31, repositories: 5, now }),
    });
    const { settings, namespace, username, token, faults } = simulator;
    return {
      registry: { ...settings, namespaces: [namespace], auth: { username, token } },
      families: dockerHubFamilies,
      truth: () => dockerHubTruth(simulator),
      ...byFaults(faults),
      close: simulator.close,
    };
  },
  async oci() {
    const store = createStore();
    populate(store, { seed: 32, repositories: 5, now });
    const simulator = await startOciSimulator({ store, referrers: true, auth: 'bearer' });
    const { url, username, password, faults } = simulator;
    return {
      registry: { endpoint: url, auth: { username, password } },
      families: ociFamilies,
      truth: () => ociTruth(store),
      ...byFaults(faults),
      close: simulator.close,
    };
  },
};
