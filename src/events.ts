import { createHash, timingSafeEqual } from 'node:crypto';
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { readDistributionEvents } from './events/distribution.ts';
import { readDockerHubEvents } from './events/docker-hub.ts';
import { readHarborEvents } from './events/harbor.ts';
import type { PushEvent } from './events/push-event.ts';
import { readZotEvents } from './events/zot.ts';
import type { RegistryLoop } from './loop.ts';
import type { Logger } from './provider.ts';
import type { Secret } from './secret.ts';

/** Readers by the source's name; the first that understands a body has it. */
const readers: Readonly<
  Record<string, (body: unknown, header: (name: string) => string | undefined) => PushEvent[] | undefined>
> = {
  distribution: readDistributionEvents,
  harbor: readHarborEvents,
  zot: readZotEvents,
  'docker-hub': readDockerHubEvents,
};

/** A registry that accepts events. */
export interface EventTarget {
  readonly loop: RegistryLoop;
  readonly token: Secret;
}

const remembered = 10_000;
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** The token of `Bearer`, or the password of `Basic`, which is all that some versions of zot can send. */
function tokenOf(header: string): string {
  const [, encoded] = /^Basic\s+([A-Za-z0-9+/=]+)$/i.exec(header) ?? [];
  if (encoded === undefined) return header.replace(/^Bearer\s+/i, '');
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  return decoded.slice(decoded.indexOf(':') + 1);
}

/**
 * What the sender shows. Docker Hub can send no header at all: for such, the token may stand in the address, where
 * those in between may write it into their logs. A header is all that counts where there is one.
 */
function shownBy(request: Request): string | undefined {
  const { token } = request.query;
  return request.get('authorization') ?? (typeof token === 'string' ? token : undefined);
}

/** Compares without telling by its time where two secrets differ. */
async function authorized(header: string | undefined, token: Secret): Promise<boolean> {
  if (header === undefined) return false;
  return timingSafeEqual(digest(tokenOf(header)), digest(await token.read()));
}

/** Answers `POST /<registry>`. Registries send an event again when it failed: each is counted once, by its id. */
export function createEventReceiver(
  target: (registry: string) => EventTarget | undefined,
  log: Logger,
): RequestHandler {
  const seen = new Map<string, Set<string>>();
  const isNew = (registry: string, id: string): boolean => {
    const ids = seen.get(registry) ?? new Set();
    seen.set(registry, ids);
    if (ids.has(id)) return false;
    ids.add(id);
    const [oldest] = ids;
    if (ids.size > remembered && oldest !== undefined) ids.delete(oldest);
    return true;
  };
  const router = express.Router();

  router.post(
    '/:registry',
    async (request, response, next) => {
      const registry = String(request.params['registry']);
      const found = target(registry);
      // The same answer for an unknown registry and a wrong token: names are not to be guessed.
      if (found && (await authorized(shownBy(request), found.token))) return next();
      found?.loop.countEvent('unknown', 'unauthorized');
      response.status(401).type('text').send('unauthorized\n');
    },
    express.json({ limit: '1mb', type: () => true }),
    (request, response) => {
      const registry = String(request.params['registry']);
      const found = target(registry);
      if (!found) return void response.status(404).end();
      const { loop } = found;
      for (const [source, read] of Object.entries(readers)) {
        const events = read(request.body, (name) => request.get(name));
        if (!events) continue;
        for (const event of events) {
          // Pulls are many, and are not remembered: they would push the pushes out.
          if (event.type !== 'other' && !isNew(registry, event.id)) {
            loop.countEvent(source, 'duplicate');
            continue;
          }
          if (event.type === 'pushed') loop.pushed(event.repository);
          else if (event.type === 'failed') loop.pushed(event.repository, event.reason);
          else if (event.type === 'changed') loop.look(event.repository);
          loop.countEvent(source, event.type === 'other' ? 'ignored' : 'accepted');
        }
        return void response.status(202).end();
      }
      loop.countEvent('unknown', 'invalid');
      log.warn({ registry }, 'an event of an unknown shape was refused');
      response.status(400).type('text').send('not an event that is understood here\n');
    },
  );
  // Four parameters tell express that this one handles errors: of reading the body, once the sender is known.
  router.use('/:registry', (error: unknown, request: Request, _response: Response, next: NextFunction) => {
    const { status } = error as { status?: unknown };
    if (typeof status === 'number' && status < 500) {
      const registry = String(request.params['registry']);
      target(registry)?.loop.countEvent('unknown', 'invalid');
      log.warn({ registry, err: error }, 'an event that cannot be read was refused');
    }
    next(error);
  });
  return router;
}
