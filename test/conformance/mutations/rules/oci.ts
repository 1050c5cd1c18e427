import type { MutationOptions } from '../suite.ts';

export const rules: MutationOptions = {
  optional: [
    // When a report was attached: without it, the scanner's own time is all that is known.
    'GET /v2/{repository}/manifests/{digest} | annotations.org.opencontainers.image.created',
    // SARIF without results is what older scanners write of a clean image.
    'GET /v2/{repository}/blobs/{digest} | runs[].results',
    // What rates a finding: without a word there is a score, without a score a level, without a level SARIF's own.
    ...[
      'rules',
      'rules[].id',
      'rules[].properties',
      'rules[].properties.security-severity',
      'rules[].properties.tags',
    ].map((path) => `GET /v2/{repository}/blobs/{digest} | runs[].tool.driver.${path}`),
    ...['ruleId', 'ruleIndex', 'level'].map(
      (path) => `GET /v2/{repository}/blobs/{digest} | runs[].results[].${path}`,
    ),
  ],
  plausible: [
    // What a manifest says of its subject is not read: the registry's list of referrers tells. It is another manifest of
    // another size, and what is attached to an image outside the bounded set is remembered.
    'GET /v2/{repository}/manifests/{digest} | subject.*',
    'GET /v2/{repository}/manifests/{digest} | layers[].size | digits as text',
    // A time in the future is none: the image is not the newest.
    'GET /v2/{repository}/blobs/{digest} | created | year 9999',
    // So a registry says that it has no referrers API: then the tags tell alone.
    ...[
      'status 400',
      'status 401',
      'status 403',
      'status 404',
      'status 406',
      'redirect to another address',
      'HTML with 200',
      'empty body',
      'status 204',
      '{}',
      '[]',
      'text',
      'null',
    ].map((kind) => `GET /v2/{repository}/referrers/{digest} | answer | ${kind}`),
  ],
};
