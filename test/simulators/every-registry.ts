import {
  truthFamilies as artifactRegistryFamilies,
  artifactRegistryTruth,
  startProject,
} from '../support/artifact-registry.ts';
import { truthFamilies as artifactoryFamilies, artifactoryTruth } from '../support/artifactory-truth.ts';
import { useAwsFiles } from '../support/aws.ts';
import { harborFamilies, harborTruth } from '../support/harbor-truth.ts';
import { truthFamilies as ociFamilies, ociTruth } from '../support/oci-truth.ts';
import { tempDir } from '../support/programs.ts';
import { truthFamilies as acrFamilies } from './acr-estate.ts';
import { startArtifactorySimulator } from './artifactory.ts';
import { startAzure } from './azure.ts';
import { startDockerHubSimulator } from './docker-hub.ts';
import { truthFamilies as dockerHubFamilies, dockerHubTruth } from './docker-hub-truth.ts';
import { startEcrSimulator } from './ecr.ts';
import { truthFamilies as ecrFamilies, ecrTruth } from './ecr-truth.ts';
import { createEstate } from './estate.ts';
import type { FaultRule } from './faults.ts';
import { startHarborSimulator } from './harbor.ts';
import { createHarborWorld } from './harbor-world.ts';
import { startOciSimulator } from './oci.ts';
import { populate } from './oci-population.ts';
import { createStore } from './oci-store.ts';

/** A simulated registry that runs, whoever the vendor is: for the demo, and for the test of all providers at once. */
export interface SimulatedRegistry {
  /** The provider's own part of the configuration. */
  readonly registry: Readonly<Record<string, unknown>>;
  /** Families that the truth covers, without `container_registry_`. */
  readonly families: readonly string[];
  /** Samples as they have to be exposed, without the labels that all have. */
  truth(): readonly string[];
  /** Changes something as a day of work does; says what. */
  step(): string;
  /** Lets every request fail, and no more. */
  break(): void;
  mend(): void;
  close(): Promise<void>;
}

interface Options {
  readonly seed: number;
  readonly repositories: number;
  /** Unix seconds of the newest push. */
  readonly now: number;
}

/** How most simulators are broken. */
const byFaults = (faults: FaultRule[]): Pick<SimulatedRegistry, 'break' | 'mend'> => ({
  break: () => void faults.push({ fault: { type: 'status', status: 500 } }),
  mend: () => void faults.splice(0),
});

/** One entry per provider, by its type. */
export const everyRegistry: Readonly<Record<string, (options: Options) => Promise<SimulatedRegistry>>> = {
  async acr(options) {
    const azure = await startAzure(options);
    return {
      registry: azure.settings,
      families: acrFamilies,
      truth: () => azure.truth(),
      step: () => azure.step(),
      ...byFaults(azure.registry.faults),
      close: () => azure.close(),
    };
  },
  async 'artifact-registry'(options) {
    const estate = createEstate(options);
    const project = await startProject({ estate });
    for (const id of project.simulator.ids())
      project.simulator.settings.set(id, {
        scanning: 'SCANNING_ACTIVE',
        immutableTags: id.length % 2 === 0,
        ...(id.length % 3 > 0 && { cleanup: id.length % 3 === 1 ? 'policies' : 'dry run' }),
      });
    return {
      registry: project.registry,
      families: artifactRegistryFamilies,
      truth: () => artifactRegistryTruth(project),
      step: () => estate.step(),
      ...byFaults(project.simulator.faults),
      close: project.close,
    };
  },
  async artifactory(options) {
    const estate = createEstate(options);
    const simulator = await startArtifactorySimulator({ estate });
    simulator.settings.watches = [{ name: 'production', active: true }];
    simulator.settings.violations = [
      { watch: 'production', severity: 'Critical' },
      { watch: 'production', severity: 'High' },
    ];
    return {
      registry: { endpoint: simulator.url, auth: { token: simulator.token() } },
      families: artifactoryFamilies,
      truth: () => artifactoryTruth(estate, simulator),
      step: () => estate.step(),
      ...byFaults(simulator.faults),
      close: simulator.close,
    };
  },
  async 'docker-hub'(options) {
    const estate = createEstate(options);
    const simulator = await startDockerHubSimulator({ estate });
    const { settings, namespace, username, token, faults } = simulator;
    return {
      registry: { ...settings, namespaces: [namespace], auth: { username, token } },
      families: dockerHubFamilies,
      truth: () => dockerHubTruth(simulator),
      step: () => estate.step(),
      ...byFaults(faults),
      close: simulator.close,
    };
  },
  async ecr(options) {
    const estate = createEstate({ ...options, archived: true });
    const simulator = await startEcrSimulator({ estate, mode: 'enhanced' });
    const folder = tempDir();
    // The exporter's process takes them from here, as it does in a shell.
    useAwsFiles(folder.path, {
      demo: { id: simulator.key.accessKeyId, secret: simulator.key.secretAccessKey },
    });
    return {
      registry: {
        endpoint: simulator.url,
        region: simulator.region,
        profile: 'demo',
        assumeRoleArn: simulator.roleArn,
        findingsInterval: '1ms',
      },
      families: ecrFamilies,
      truth: () => ecrTruth(simulator),
      step: () => estate.step(),
      ...byFaults(simulator.faults),
      async close() {
        await simulator.close();
        folder.remove();
      },
    };
  },
  async harbor(options) {
    const estate = createEstate(options);
    const world = createHarborWorld(estate, options.now);
    // Somebody paused a queue, and stopped the last replication.
    world.queues.push({ job_type: 'SCAN_DATA_EXPORT', count: 1, latency: 5, paused: true });
    for (const { executions } of world.policies) for (const run of executions) run.stopped += 1;
    const simulator = await startHarborSimulator({ world });
    const robot = world.accounts.find(({ kind }) => kind === 'robot');
    return {
      registry: {
        endpoint: simulator.url,
        auth: { username: robot?.username, password: robot?.password },
      },
      families: harborFamilies,
      truth: () => harborTruth(world),
      step: () => estate.step(),
      ...byFaults(simulator.faults),
      close: simulator.close,
    };
  },
  async oci(options) {
    const store = createStore();
    const population = populate(store, options);
    const simulator = await startOciSimulator({ store, referrers: true, auth: 'bearer' });
    const { url, username, password, faults } = simulator;
    return {
      registry: { endpoint: url, auth: { username, password } },
      families: ociFamilies,
      truth: () => ociTruth(store),
      step: () => population.step(),
      ...byFaults(faults),
      close: simulator.close,
    };
  },
};
