import type { MutationOptions } from '../suite.ts';

export const rules: MutationOptions = {
  optional: [],
  plausible: [
    // Paid plans have no limit, and answer without its headers.
    'HEAD * | answer | {}',
    'HEAD * | answer | []',
    'HEAD * | answer | redirect to another address',
    // Not everybody is told whom the pulls are counted for.
    'HEAD * | header docker-ratelimit-source | *',
  ],
  pending: [],
};
