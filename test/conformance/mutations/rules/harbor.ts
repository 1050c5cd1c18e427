import type { MutationOptions } from '../suite.ts';

export const rules: MutationOptions = {
  optional: [
    // `x-nullable` of the swagger.
    'GET /api/v2.0/systeminfo | has_ca_root',
    'GET /api/v2.0/systeminfo | notification_enable',
    'GET /api/v2.0/systeminfo | read_only',
    'GET /api/v2.0/systeminfo | self_registration',
    // A policy without filters takes everything.
    'GET /api/v2.0/replication/policies | [].filters',
    // What starts a policy and what it consists of; Go writes an empty list as `null`.
    'GET /api/v2.0/retentions/{id} | rules',
    'GET /api/v2.0/retentions/{id} | trigger',
    'GET /api/v2.0/retentions/{id} | trigger.settings',
    'GET /api/v2.0/retentions/{id} | trigger.settings.cron',
    // Go leaves out what is 0, empty or false.
    'GET /api/v2.0/replication/policies | [].enabled',
    'GET /api/v2.0/projects/{name}/immutabletagrules | [].disabled',
    'GET /api/v2.0/registries | [].status',
    'GET /api/v2.0/jobservice/queues | [].count',
    'GET /api/v2.0/jobservice/queues | [].latency',
    'GET /api/v2.0/systeminfo/volumes | storage[].free',
    'GET /api/v2.0/systeminfo/volumes | storage[].total',
  ],
  plausible: [
    // A job service without queues or workers.
    'GET /api/v2.0/jobservice/* | answer | []',
    // Of an object store both numbers are 0, and left out.
    'GET /api/v2.0/systeminfo/volumes | storage | {} among',
    // Go's zero time: it was never pulled.
    'GET /api/v2.0/projects/{name}/repositories/{name}/artifacts | [].pull_time | year 1',
    // A robot account that never expires.
    'GET /api/v2.0/robots | [].expires_at | -1',
    // An empty pattern takes everything.
    'GET /api/v2.0/replication/policies | [].filters[].value | ""',
    // A scanner that does not answer is down.
    'GET /api/v2.0/scanners/* | answer | status 5*',
    // Without the version, what older ones do not have is asked for too.
    'GET /api/v2.0/systeminfo | answer | *',
    'GET /api/v2.0/systeminfo | harbor_version | *',
  ],
  everywhere: [
    // A policy that cannot be read may copy any repository.
    'GET /api/v2.0/replication/policies | *',
    // A Harbor that throttles is waited for until the end of the poll.
    '* | one answer | status 429',
  ],
  pending: [],
};
