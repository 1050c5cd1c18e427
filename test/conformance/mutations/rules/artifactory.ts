import type { MutationOptions } from '../suite.ts';

export const rules: MutationOptions = {
  optional: [
    // Xray leaves out severities without findings, and lists nothing as null, as Go does.
    'GET /xray/api/v1/artifacts | data',
    'GET /xray/api/v1/artifacts | data[].sec_issues*',
  ],
  plausible: [
    // A ping that is not answered well is what "down" means.
    'GET /artifactory/api/system/ping | answer | *',
    // An Xray without a list of scans is asked for summaries, which tell fixable findings too.
    'GET /xray/api/v1/artifacts | answer | status 404',
    // Sizes are told as text, and a number of bytes is one.
    'GET /artifactory/api/storageinfo | fileStoreSummary.*Space | number for text',
  ],
  pending: [],
};
