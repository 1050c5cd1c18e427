import type { Provider } from '../provider.ts';
import { acr } from './acr.ts';
import { artifactRegistry } from './artifact-registry.ts';
import { artifactory } from './artifactory.ts';
import { dockerHub } from './docker-hub.ts';
import { ecr } from './ecr.ts';
import { harbor } from './harbor.ts';
import { oci } from './oci.ts';

/** Every provider, by the `type` of the configuration. */
export const providers: Readonly<Record<string, Provider>> = {
  acr,
  'artifact-registry': artifactRegistry,
  artifactory,
  'docker-hub': dockerHub,
  ecr,
  harbor,
  oci,
};
