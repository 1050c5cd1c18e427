import type { MutationOptions } from '../suite.ts';

export const rules: MutationOptions = {
  // Assessments of Defender have no time of their own.
  optional: ['POST /providers/Microsoft.ResourceGraph/resources* | data[].at'],
  plausible: [
    // A page shorter than asked for, without a link, is the last one.
    'GET /acr/v1/{repository}/_manifests | header link | absent',
    'GET /acr/v1/{repository}/_manifests | header link | ""',
    // No limit.
    'GET /subscriptions/* | value[].limit | -1',
  ],
  // The SDK parses a page at once, so that one of more than 512 KiB is refused.
  everywhere: ['GET /acr/v1/_catalog | repositories[] | 1 MB'],
  pending: [],
};
