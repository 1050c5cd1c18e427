import type { MutationOptions } from '../suite.ts';

/** proto3 leaves out what has its default value, an empty list too: https://protobuf.dev/programming-guides/json/ */
export const rules: MutationOptions = {
  optional: ['GET /v1/* | *', 'POST /google* | *'],
  plausible: [
    'GET /v1/* | *answer | {}',
    'POST /google* | *answer | {}',
    'POST /google* | *answer | empty body',
    // An enum may come as its number, of which 0 is "unspecified" and one of later versions is unknown:
    // https://protobuf.dev/programming-guides/json/
    ...[
      'occurrences:vulnerabilitySummary | counts[].severity',
      'occurrences | occurrences[].discovery.analysisStatus',
    ].flatMap((field) => ['0', 'number for text'].map((kind) => `GET /v1/projects/tests/${field} | ${kind}`)),
  ],
  // Findings of all repositories have one address.
  everywhere: ['GET /v1/projects/tests/occurrences* | * | 100,000 long'],
  pending: [],
};
