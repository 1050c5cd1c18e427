import { setTimeout as sleep } from 'node:timers/promises';
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { gridValidation } from '../events/acr.ts';
import { parseEventBody, UnreadableBody } from '../events/body.ts';
import type { EventRequest, ReadEvents } from '../events/push-event.ts';
import { receivers } from '../events/receivers.ts';
import type { Logger } from '../provider.ts';
import { bodyOf, createEventGate, type EventGateOptions, type Found, plain } from './event-gate.ts';
import type { Forward } from './forward.ts';

/** Events of one request; registries send one, or a few in a batch. */
const eventsAtMost = 5_000;
/** A disk that takes longer is taken for broken: the registry sends again. */
const savedWithinMs = 5_000;
/** The same complaint is logged once in this time. */
const toldEveryMs = 3_600_000;

function readEvents(request: EventRequest): { source: string; events: ReadEvents } | undefined {
  for (const [source, { read }] of Object.entries(receivers)) {
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
  return (registry: string, target: Found, problem: string): void => {
    if ('loop' in target) target.loop.refused('invalid');
    const key = `${registry} ${problem}`;
    const now = performance.now();
    const repeated = now - (told.get(key) ?? Number.NEGATIVE_INFINITY) < toldEveryMs;
    if (!repeated) told.set(key, now);
    log[repeated ? 'debug' : 'warn']({ registry, problem }, 'a push event was refused: see docs/events.md');
  };
}

/**
 * Agrees to get CloudEvents, which Event Grid asks before it sends any.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection
 */
const agree: RequestHandler = (request, response) => {
  const origin = request.get('webhook-request-origin');
  if (origin === undefined) return void plain(response, 400, 'no WebHook-Request-Origin');
  response.set({ Allow: 'POST, OPTIONS', 'WebHook-Allowed-Origin': origin, 'WebHook-Allowed-Rate': '*' });
  response.status(200).end();
};

/** Answers `POST /<registry>`: 202 once the events are counted and the counts are on disk. */
export function createEventReceiver(
  options: EventGateOptions & {
    readonly log: Logger;
    /** Hands a request to the shard that polls the registry. */
    readonly forward: Forward;
  },
): RequestHandler {
  const { log, forward } = options;
  const gate = createEventGate(options);
  const complain = createComplaints(log);

  const receive: RequestHandler = async (request, response) => {
    const registry = String(request.params['registry']);
    const entry: Found = response.locals['target'];
    const raw = bodyOf(request);
    const body = parseEventBody(raw);
    const validation = gridValidation(body);
    if (validation) return void response.json(validation);
    if ('shard' in entry) return forward(request, response, { registry, shard: entry.shard, raw });
    const read = readEvents({ body, raw, header: (name) => request.get(name) });
    if (!read || (read.events.length > 0 && read.events.every((event) => event === undefined))) {
      complain(registry, entry, 'not an event that is understood here');
      return void plain(response, 400, 'not an event that is understood here');
    }
    if (read.events.length > eventsAtMost) {
      complain(registry, entry, `more than ${eventsAtMost} events`);
      return void plain(response, 413, `more than ${eventsAtMost} events in one request`);
    }
    const delivery = entry.loop.receive(read.source, read.events);
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
  router.post('/:registry', ...gate.body, receive);
  router.options('/:registry', gate.sender, agree);
  // Four parameters tell express that this one handles errors: of reading the body, once the sender is known.
  router.use('/:registry', (error: unknown, request: Request, response: Response, next: NextFunction) => {
    const entry = response.locals['target'] as Found | undefined;
    const statusTold = (error as { status?: unknown }).status;
    const status = error instanceof UnreadableBody ? 400 : typeof statusTold === 'number' ? statusTold : 500;
    if (!entry || status >= 500) return next(error);
    const problem = error instanceof UnreadableBody ? error.message : `the body cannot be read (${status})`;
    complain(String(request.params['registry']), entry, problem);
    plain(response, status, problem);
  });
  return router;
}
