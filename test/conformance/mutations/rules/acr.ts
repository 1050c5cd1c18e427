import type { MutationOptions } from '../suite.ts';

export const rules: MutationOptions = {
  // Assessments of Defender have no time of their own.
  optional: ['POST /providers/Microsoft.ResourceGraph/resources* | data[].at'],
  plausible: [],
  pending: [],
};
