import type { MutationOptions } from '../suite.ts';

/** proto3 leaves out what has its default value, an empty list too: https://protobuf.dev/programming-guides/json/ */
export const rules: MutationOptions = {
  optional: ['GET /v1/* | *', 'POST /google* | *'],
  plausible: [
    'GET /v1/* | *answer | {}',
    'POST /google* | *answer | {}',
    'POST /google* | *answer | empty body',
  ],
  // Findings of all repositories have one address.
  everywhere: ['GET /v1/projects/tests/occurrences* | * | 100,000 long'],
  pending: [],
};
