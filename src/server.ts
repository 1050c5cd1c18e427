import { createHash } from 'node:crypto';
import express, {
  type Express,
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import type { InUseStatus } from './daemon/in-use.ts';
import { type Exposition, negotiate, type Refused, renderSelf, takeTurn, writeBody } from './exposition.ts';
import type { RegistryLoop } from './loop.ts';
import type { EntryStatus } from './places.ts';
import type { Logger } from './provider.ts';
import type { SelfMetrics } from './self-metrics.ts';
import { createPipelineGate, createScrapeSlots } from './server/connections.ts';
import { healthRoutes } from './server/health.ts';
import type { StateRoute } from './server/state.ts';
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
  /** Sources of what runs. */
  inUse(): readonly InUseStatus[];
  /** Reads the configuration again. @throws with the reason when it is refused. */
  reload(): Promise<void>;
  /** Receives push events; mounted at `/events`. */
  readonly events: express.RequestHandler;
  /** Tells other shards what was saved of registries that they poll now; undefined where they are not known. */
  readonly state?: StateRoute | undefined;
  /** Authentication and headers of `--web.config.file`. */
  readonly web: express.RequestHandler;
}

const styleHash = createHash('sha256').update(style).digest('base64');

const answer = (response: Response, status: number, text: string): void =>
  void response.status(status).type('text').send(`${text}\n`);

/** Answers scrapes. */
function createScrapes({ exposition, self, log, maxRequests }: AppOptions): RequestHandler {
  const slots = createScrapeSlots(maxRequests);
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
  return async (request, response) => {
    const release = slots.take(request.socket.remoteAddress ?? '');
    if (!release)
      return answer(response, 503, `more than ${maxRequests} scrapes at once (--web.max-requests)`);
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
  };
}

/** The status page, and the same as JSON. */
function addStatus(app: Express, options: AppOptions): void {
  const startedAt = Date.now() / 1000;
  const status = () => ({
    ...options.build,
    startedAt,
    now: Date.now() / 1000,
    telemetryPath: options.telemetryPath,
    registries: (options.loops() ?? []).map((loop) => loop.status()),
    entries: options.entries(),
    inUse: options.inUse(),
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
}

/** Reads the configuration again. */
const createReload =
  ({ reload, log }: AppOptions): RequestHandler =>
  async (request, response) => {
    if (request.method !== 'POST' && request.method !== 'PUT') {
      response.set('Allow', 'POST, PUT');
      return answer(response, 405, 'reload with POST');
    }
    try {
      await reload();
      answer(response, 200, 'reloaded');
    } catch (error) {
      log.error({ err: error }, 'the configuration was refused: the old one runs on');
      answer(response, 500, `${(error as Error).message}\nThe old configuration runs on.`);
    }
  };

/** Answers what went wrong in a handler. Four parameters tell express that this one handles errors. */
const createErrorHandler =
  ({ log }: Pick<AppOptions, 'log'>) =>
  (error: unknown, request: Request, response: Response, _next: NextFunction): void => {
    const { status } = error as { status?: unknown };
    const code = typeof status === 'number' && status >= 400 && status < 500 ? status : 500;
    if (code === 500) log.error({ err: error, path: request.path }, 'a request failed');
    if (response.headersSent) response.destroy();
    else answer(response, code, code === 500 ? 'internal error' : 'bad request');
  };

/** What all addresses have in common: one request of a connection at a time, and who may ask. */
function openApp(web: RequestHandler): Express {
  const gate = createPipelineGate();
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.use(async (request, response, next) => {
    if (await gate(request, response)) next();
  });
  app.use(web);
  return app;
}

/** Takes push events, and after them says that there is nothing else. */
function closeApp(app: Express, options: Pick<AppOptions, 'events' | 'log'>): Express {
  app.use('/events', options.events);
  app.use((_request, response) => answer(response, 404, 'not found'));
  app.use(createErrorHandler(options));
  return app;
}

/** Push events and nothing else, for an address that registries reach from outside (`--web.events-listen-address`). */
export const createEventsApp = (options: Pick<AppOptions, 'events' | 'log' | 'web'>): Express =>
  closeApp(openApp(options.web), options);

/** The web application: every answer is made of what is in memory, none waits for a registry. */
export function createApp(options: AppOptions): Express {
  const { telemetryPath } = options;
  const app = openApp(options.web);
  app.get(telemetryPath, createScrapes(options));
  app.all(telemetryPath, (_request, response) => {
    response.set('Allow', 'GET, HEAD');
    answer(response, 405, 'scrape with GET');
  });
  addStatus(app, options);
  app.use(healthRoutes(options));
  app.all('/-/reload', createReload(options));
  if (options.state) app.get('/-/state/:registry/:kind', options.state);
  return closeApp(app, options);
}
