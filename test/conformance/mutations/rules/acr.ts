import type { MutationOptions } from '../suite.ts';

export const rules: MutationOptions = {
  optional: [],
  plausible: [],
  pending: [
    'GET /acr/v1/{repository}/_manifests/{digest} | manifest | absent',
    'GET /acr/v1/{repository}/_manifests/{digest} | manifest.references[].digest | list for text',
    'GET /acr/v1/{repository}/_manifests/{digest} | manifest.references[].digest | null',
    'GET /acr/v1/{repository}/_manifests/{digest} | manifest.references | 100,000 numbers',
    'GET /subscriptions/{id}/resourceGroups/registries/providers/Microsoft.ContainerRegistry/registries/prod/listUsages | value[].limit | 2^53+1',
    'GET /v2/{repository}/manifests/{digest} | layers | 100,000 long',
  ],
};
