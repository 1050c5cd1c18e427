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
    // That it does not know an image Xray says with 404.
    'POST /xray/api/v1/artifact/status | answer | status 404',
    // No repository at all is believed when it is listed twice.
    'GET /artifactory/api/repositories | answer | []',
    // A licence may have no end, and editions without one have no licence.
    'GET /artifactory/api/system/license* | *validThrough | absent',
    'GET /artifactory/api/system/license* | *validThrough | null',
    'GET /artifactory/api/system/license* | *validThrough | ""',
    'GET /artifactory/api/system/license* | answer | {}',
    // The other address answers `{}` too.
    'GET /artifactory/api/system/license* | answer | redirect to another address',
    'GET /artifactory/api/system/license* | answer | status 40*',
    // A proxy may hide what the platform says of itself.
    'GET /artifactory/api/system/version | answer | status 40*',
    'GET /router/api/v1/system/health | answer | status 40*',
    // Sizes are told as text, and a number of bytes is one.
    ...['fileStoreSummary.*Space', 'binariesSummary.binariesSize'].flatMap((field) =>
      ['number for text', '0'].map((kind) => `GET /artifactory/api/storageinfo | ${field} | ${kind}`),
    ),
    // Where the number of bytes is not there, the rounded text is what is known.
    'GET /artifactory/api/storageinfo | repositoriesSummaryList[].usedSpaceInBytes | *',
    // So an edition says that it has no replication.
    'GET /artifactory/api/replications | answer | status 400',
  ],
  pending: [],
};
