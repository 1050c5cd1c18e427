import { readAcrEvents } from './acr.ts';
import { readArtifactRegistryEvents } from './artifact-registry.ts';
import { readArtifactoryEvents } from './artifactory.ts';
import { readDistributionEvents } from './distribution.ts';
import { readDockerHubEvents } from './docker-hub.ts';
import { readEcrEvents, toldByEventBridge } from './ecr.ts';
import { readHarborEvents } from './harbor.ts';
import type { EventReader } from './push-event.ts';
import type { Tells } from './told.ts';
import { readZotEvents } from './zot.ts';

/** A source that sends its events. */
export interface Receiver {
  readonly read: EventReader;
  readonly tells: Tells;
}

const onlySuccesses: Tells = { repositories: { pushes: true } };

/** Receivers by the source's name; the first that understands a body has it. */
export const receivers: Readonly<Record<string, Receiver>> = {
  distribution: { read: readDistributionEvents, tells: onlySuccesses },
  harbor: { read: readHarborEvents, tells: { repositories: { pushes: true, failures: ['quota'] } } },
  zot: { read: readZotEvents, tells: { repositories: { pushes: true, failures: ['lint'] } } },
  'docker-hub': { read: readDockerHubEvents, tells: onlySuccesses },
  acr: { read: readAcrEvents, tells: onlySuccesses },
  'artifact-registry': { read: readArtifactRegistryEvents, tells: onlySuccesses },
  artifactory: { read: readArtifactoryEvents, tells: onlySuccesses },
  ecr: { read: readEcrEvents, tells: toldByEventBridge },
};
