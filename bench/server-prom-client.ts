import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import express from 'express';
import { Gauge, Registry } from 'prom-client';
import { repositoryMetrics } from '../src/metrics.ts';
import { registryView, repositoryViews } from './population.ts';
import { serveMeasurements } from './server-measurements.ts';

/** The baseline: the same series in prom-client, rendered and compressed at each scrape, as exporters do. */
const compress = promisify(gzip);
const register = new Registry();
const views = new Map(repositoryViews(Number(process.argv[2])));
for (const row of repositoryMetrics) {
  const labelNames = ['registry', 'provider', 'repository', ...row.labels];
  const gauge = new Gauge({ name: row.name, help: row.help, labelNames, registers: [register] });
  for (const [name, view] of views)
    row.samples(view, (value, ...values) => {
      if (value === undefined) return;
      const labels: Record<string, string> = {
        registry: registryView.registry,
        provider: registryView.provider,
        repository: name,
      };
      for (const [at, label] of row.labels.entries()) labels[label] = values[at] ?? '';
      gauge.set(labels, value);
    });
}
views.clear();

const app = express();
app.get('/metrics', async (request, response) => {
  const text = await register.metrics();
  response.set('Content-Type', register.contentType);
  if (!request.acceptsEncodings('gzip')) return void response.end(text);
  response.set('Content-Encoding', 'gzip').end(await compress(text));
});
serveMeasurements(createServer(app), { ms: 0, renderedBuckets: 0 }, {});
