import { createHash } from 'node:crypto';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { type Exposition, negotiate, type Refused, renderSelf, takeTurn, writeBody } from './exposition.ts';
import type { RegistryLoop } from './loop.ts';
import type { EntryStatus } from './places.ts';
import type { Logger } from './provider.ts';
import type { SelfMetrics } from './self-metrics.ts';
import { createPipelineGate, createScrapeSlots } from './server/connections.ts';
import { healthRoutes } from './server/health.ts';
import { statusPage, style } from './server/status-page.ts';

export interface AppOptions {
  readonly telemetryPath: string;
  /** Scrapes at once, at most; 0 for no limit. */
  readonly maxRequests: number;
  readonly exposition: Exposition;
  readonly self: SelfMetrics;
  readonly log: Logger;
  readonly build: { readonly version: string; readonly revision: string };
  /** The loops that run now, which a reload changes; undefined before the configuration was read for the first time. */
  loops(): readonly RegistryLoop[] | undefined;
  /** Entries of the configuration that cover several registries. */
  entries(): readonly EntryStatus[];
  /** Reads the configuration again. @throws with the reason when it is refused. */
  reload(): Promise<void>;
  /** Receives push events; mounted at `/events`. */
  readonly events: express.RequestHandler;
  /** Authentication and headers of `--web.config.file`. */
  readonly web: express.RequestHandler;
}

const styleHash = createHash('sha256').update(style).digest('base64');

/** The web application: every answer is made of what is in memory, none waits for a registry. */
export function createApp(options: AppOptions): Express {
  const { exposition, self, log, telemetryPath, maxRequests } = options;
  const startedAt = Date.now() / 1000;
  const slots = createScrapeSlots(maxRequests);
  const gate = createPipelineGate();
  /** Gathering them reads files of /proc: scrapes at the same time share it. */
  let gathering: ReturnType<typeof self.gather> | undefined;
  const gather = () => {
    gathering ??= self.gather().finally(() => {
      gathering = undefined;
    });
    return gathering;
  };
  /** Each reason once: what is refused of the exporter's own metrics is refused at every scrape. */
  const told = new Set<string>();
  const tellOfRefused = (refused: Refused) => {
    for (const [reason, { count, example }] of refused) {
      log[told.has(reason) ? 'debug' : 'warn'](
        { reason, dropped: count, example },
        "series of the exporter's own metrics are left out",
      );
      told.add(reason);
    }
  };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.use(async (request, response, next) => {
    if (await gate(request, response)) next();
  });
  app.use(options.web);

  app.get(telemetryPath, async (request, response) => {
    const release = slots.take(request.socket.remoteAddress ?? '');
    if (!release) {
      response
        .status(503)
        .type('text')
        .send(`more than ${maxRequests} scrapes at once (--web.max-requests)\n`);
      return;
    }
    try {
      // Many scrapes that arrive together are prepared one after the other, with the event loop free in between.
      await takeTurn();
      const { format, encoding } = negotiate(request.get('accept'), request.get('accept-encoding'));
      const own = renderSelf(await gather(), format);
      tellOfRefused(own.refused);
      await writeBody(response, exposition.body(format, encoding, own.text));
    } finally {
      release();
    }
  });

  app.all(telemetryPath, (_request, response) => {
    response.status(405).set('Allow', 'GET, HEAD').type('text').send('scrape with GET\n');
  });

  const status = () => ({
    ...options.build,
    startedAt,
    now: Date.now() / 1000,
    telemetryPath,
    registries: (options.loops() ?? []).map((loop) => loop.status()),
    entries: options.entries(),
  });

  app.get('/', (_request, response) => {
    response
      .set(
        'Content-Security-Policy',
        `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; frame-ancestors 'none'`,
      )
      .set('X-Content-Type-Options', 'nosniff')
      .set('Cache-Control', 'no-store')
      .type('html')
      .send(statusPage(status()));
  });
  app.get('/api/v1/status', (_request, response) => {
    response.set('Cache-Control', 'no-store').json(status());
  });
  app.use(healthRoutes(options));
  app.all('/-/reload', async (request, response) => {
    if (request.method !== 'POST' && request.method !== 'PUT') {
      response.status(405).set('Allow', 'POST, PUT').type('text').send('reload with POST\n');
      return;
    }
    try {
      await options.reload();
      response.type('text').send('reloaded\n');
    } catch (error) {
      log.error({ err: error }, 'the configuration was refused: the old one runs on');
      response
        .status(500)
        .type('text')
        .send(`${(error as Error).message}\nThe old configuration runs on.\n`);
    }
  });
  app.use('/events', options.events);
  app.use((_request, response) => {
    response.status(404).type('text').send('not found\n');
  });
  // Four parameters tell express that this one handles errors.
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const given = (error as { status?: unknown }).status;
    const code = typeof given === 'number' && given >= 400 && given < 500 ? given : 500;
    if (code === 500) log.error({ err: error, path: request.path }, 'a request failed');
    if (response.headersSent) response.destroy();
    else
      response
        .status(code)
        .type('text')
        .send(code === 500 ? 'internal error\n' : 'bad request\n');
  });
  return app;
}
