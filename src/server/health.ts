import express, { type Express, Router } from 'express';
import type { RegistryLoop } from '../loop.ts';
import type { EntryStatus } from '../places.ts';

/** What decides whether the exporter is ready. */
export interface HealthOptions {
  /** The loops that run now; undefined before the configuration was read for the first time. */
  loops(): readonly Pick<RegistryLoop, 'ready' | 'name'>[] | undefined;
  /** Entries of the configuration that cover several registries. */
  entries(): readonly Pick<EntryStatus, 'up' | 'name'>[];
}

/** `/-/healthy` and `/-/ready`, for probes. */
export function healthRoutes(options: HealthOptions): Router {
  const routes = Router({ caseSensitive: true });
  routes.get('/-/healthy', (_request, response) => {
    response.type('text').send('healthy\n');
  });
  routes.get('/-/ready', (_request, response) => {
    const loops = options.loops();
    if (!loops) {
      response.status(503).type('text').send('the configuration is being read\n');
      return;
    }
    const waiting = [
      ...options.entries().filter(({ up }) => up === undefined),
      ...loops.filter((loop) => !loop.ready()),
    ].map(({ name }) => name);
    if (waiting.length === 0) response.type('text').send('ready\n');
    else
      response
        .status(503)
        .type('text')
        .send(`waiting for the first poll of: ${waiting.join(', ')}\n`);
  });
  return routes;
}

/**
 * Probes and nothing else, for an address of its own (`--web.health-listen-address`): without TLS and users, since the
 * kubelet can show neither a certificate nor a password.
 */
export function createHealthApp(options: HealthOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(healthRoutes(options));
  app.use((_request, response) => {
    response.status(404).type('text').send('not found\n');
  });
  return app;
}
