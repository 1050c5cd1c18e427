import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { serveMeasurements } from './server-measurements.ts';

/** The floor: a plain server that sends the bytes of a file. */
const body = readFileSync(process.argv[2] ?? '');
const server = createServer((_request, response) => {
  response.writeHead(200, {
    'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    'content-encoding': 'gzip',
    'content-length': body.length,
  });
  response.end(body);
});
serveMeasurements(server, { ms: 0, renderedBuckets: 0 }, {});
