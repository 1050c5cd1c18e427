import { setTimeout as sleep } from 'node:timers/promises';
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import type { EventTarget, EventTargetElsewhere } from '../daemon.ts';
import { parseEventBody, UnreadableBody } from '../events/body.ts';
import { readDistributionEvents } from '../events/distribution.ts';
import { readDockerHubEvents } from '../events/docker-hub.ts';
import { readHarborEvents } from '../events/harbor.ts';
import type { EventReader, EventRequest, ReadEvents } from '../events/push-event.ts';
import { readZotEvents } from '../events/zot.ts';
import type { Logger } from '../provider.ts';
import type { Forward } from './forward.ts';
import { mayEnter } from './sender.ts';

/** Readers by the source's name; the first that understands a body has it. */
const readers: Readonly<Record<string, EventReader>> = {
  distribution: readDistributionEvents,
  harbor: readHarborEvents,
  zot: readZotEvents,
  'docker-hub': readDockerHubEvents,
};

const largestBody = 2 ** 20;
/** Events of one request; registries send one, or a few in a batch. */
const eventsAtMost = 5_000;
/** Requests of those who have a token, at once; each waits for its body and for the disk. Scrapes keep their room. */
const atOnce = 128;
/** A disk that takes longer is taken for broken: the registry sends again. */
const savedWithinMs = 5_000;
/** A refusal takes so long, whatever was found: its time says nothing of names and tokens. */
const refusedAfterMs = 20;
/** The same complaint is logged once in this time. */
const toldEveryMs = 3_600_000;

const plain = (response: Response, status: number, text: string) =>
  response.status(status).type('text').send(`${text}\n`);

function readEvents(request: EventRequest): { source: string; events: ReadEvents } | undefined {
  for (const [source, read] of Object.entries(readers)) {
    const events = read(request);
    if (events) return { source, events };
  }
  return undefined;
}

/** Resolves when the promise does. @throws when it fails, or takes too long */
async function within(milliseconds: number, promise: Promise<void>): Promise<void> {
  const waited = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: waited.signal }).then(() => {
    throw new Error(`the disk did not answer within ${milliseconds} ms`);
  });
  late.catch(() => {});
  await Promise.race([promise, late]).finally(() => waited.abort());
}

/** Counts a request without an event that can be read; senders tend to repeat theirs, so it is logged now and then. */
function createComplaints(log: Logger) {
  const told = new Map<string, number>();
  return (registry: string, target: EventTarget | EventTargetElsewhere, problem: string): void => {
    if ('loop' in target) target.loop.refused('invalid');
    const key = `${registry} ${problem}`;
    const now = performance.now();
    const repeated = now - (told.get(key) ?? Number.NEGATIVE_INFINITY) < toldEveryMs;
    if (!repeated) told.set(key, now);
    log[repeated ? 'debug' : 'warn']({ registry, problem }, 'a push event was refused: see docs/events.md');
  };
}

/** Answers `POST /<registry>`: 202 once the events are counted and the counts are on disk. */
export function createEventReceiver(options: {
  readonly log: Logger;
  target(registry: string): EventTarget | EventTargetElsewhere | undefined;
  /** Hands a request to the shard that polls the registry. */
  readonly forward: Forward;
  /** Whether registries are still being read or found: then nobody is refused for good. */
  starting(): boolean;
}): RequestHandler {
  const { log, target, forward, starting } = options;
  const complain = createComplaints(log);
  let inFlight = 0;

  const sender: RequestHandler = async (request, response, next) => {
    const found = target(String(request.params['registry']));
    const floor = sleep(refusedAfterMs);
    // The same way for an unknown registry and a wrong token: names are not to be guessed.
    if (await mayEnter(request, found?.token)) {
      response.locals['target'] = found;
      return next();
    }
    await floor;
    if (found && 'loop' in found) found.loop.refused('unauthorized');
    if (starting()) {
      response.set('Retry-After', '5');
      return void plain(response, 503, 'registries are being read: send again');
    }
    plain(response, 401, 'unauthorized');
  };

  const admit: RequestHandler = (_request, response, next) => {
    if (inFlight < atOnce) {
      inFlight += 1;
      response.once('close', () => {
        inFlight -= 1;
      });
      return next();
    }
    response.set('Retry-After', '1');
    plain(response, 503, 'too many events at once: send again');
  };

  const receive: RequestHandler = async (request, response) => {
    const registry = String(request.params['registry']);
    const found: EventTarget | EventTargetElsewhere = response.locals['target'];
    const raw: Buffer = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    if ('shard' in found) return forward(request, response, { registry, shard: found.shard, raw });
    const read = readEvents({ body: parseEventBody(raw), raw, header: (name) => request.get(name) });
    if (!read || (read.events.length > 0 && read.events.every((event) => event === undefined))) {
      complain(registry, found, 'not an event that is understood here');
      return void plain(response, 400, 'not an event that is understood here');
    }
    if (read.events.length > eventsAtMost) {
      complain(registry, found, `more than ${eventsAtMost} events`);
      return void plain(response, 413, `more than ${eventsAtMost} events in one request`);
    }
    const delivery = found.loop.receive(read.source, read.events);
    let answered = false;
    response.once('close', () => {
      if (!answered || !response.writableFinished) delivery.lost();
    });
    try {
      await within(savedWithinMs, delivery.saved);
      answered = true;
      response.status(202).end();
    } catch {
      // The loop has logged why. What was counted is known by its id when it comes again.
      response.set('Retry-After', '5');
      plain(response, 503, 'the events cannot be saved: send again');
    }
  };

  const router = express.Router();
  router.post('/:registry', sender, admit, express.raw({ limit: largestBody, type: () => true }), receive);
  // Four parameters tell express that this one handles errors: of reading the body, once the sender is known.
  router.use('/:registry', (error: unknown, request: Request, response: Response, next: NextFunction) => {
    const found = response.locals['target'] as EventTarget | EventTargetElsewhere | undefined;
    const given = (error as { status?: unknown }).status;
    const status = error instanceof UnreadableBody ? 400 : typeof given === 'number' ? given : 500;
    if (!found || status >= 500) return next(error);
    const problem = error instanceof UnreadableBody ? error.message : `the body cannot be read (${status})`;
    complain(String(request.params['registry']), found, problem);
    plain(response, status, problem);
  });
  return router;
}
