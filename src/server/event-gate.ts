import { setTimeout as sleep } from 'node:timers/promises';
import express, { type Request, type RequestHandler, type Response } from 'express';
import type { EventTarget, EventTargetElsewhere } from '../daemon.ts';
import type { Logger } from '../provider.ts';
import { createOidcCheck } from './oidc.ts';
import { isSigned, mayEnter, signatureOf } from './sender.ts';

/** A registry whose events may be sent. */
export type Found = EventTarget | EventTargetElsewhere;

/** Who may send events, and from when on. */
export interface EventGateOptions {
  target(registry: string): Found | undefined;
  readonly log: Logger;
  /** Whether registries are still being read or found: then nobody is refused for good. */
  starting(): boolean;
}

const largestBody = 2 ** 20;
/** Of a body that is read before it is known who sent it, since it is signed. */
const largestSignedBody = 2 ** 16;
/** Requests of those who have a token, at once; each waits for its body and for the disk. Scrapes keep their room. */
const atOnce = 128;
/** The same of those who sign their body, of whom nobody knows yet whether they may send. */
const strangersAtOnce = 16;
/** A refusal takes so long, whatever was found: its time says nothing of names and tokens. */
const refusedAfterMs = 20;

/** Answers in words. */
export const plain = (response: Response, status: number, text: string) =>
  response.status(status).type('text').send(`${text}\n`);

/** The body of a request, as it came. */
export const bodyOf = (request: Request): Buffer =>
  Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);

/** What stands before the receiver of events: who sends, how many at once, how large. */
export interface EventGate {
  /** Lets senders with the token in, and puts the registry into `locals.target`. */
  readonly sender: RequestHandler;
  /** The same, and reads the body: of a sender that signs, first. */
  readonly body: readonly RequestHandler[];
}

export function createEventGate({ target, starting, log }: EventGateOptions): EventGate {
  const oidc = createOidcCheck(log);
  const inFlight = { known: 0, strangers: 0 };

  /** The same way for an unknown registry and a wrong token: names are not to be guessed. */
  async function refuse(response: Response, entry: Found | undefined, floor: Promise<void>): Promise<void> {
    await floor;
    if (entry && 'loop' in entry) entry.loop.refused('unauthorized');
    if (starting()) {
      response.set('Retry-After', '5');
      return void plain(response, 503, 'registries are being read: send again');
    }
    plain(response, 401, 'unauthorized');
  }

  const sender: RequestHandler = async (request, response, next) => {
    const entry = target(String(request.params['registry']));
    const floor = sleep(refusedAfterMs);
    const isSignedByGoogle = async () => entry?.oidc !== undefined && oidc.mayEnter(request, entry.oidc);
    if ((await mayEnter(request, entry?.token)) || (await isSignedByGoogle())) {
      response.locals['target'] = entry;
      return next();
    }
    const signature = request.method === 'POST' ? signatureOf(request) : undefined;
    if (signature === undefined) return refuse(response, entry, floor);
    response.locals['signed'] = { signature, found: entry, floor };
    next();
  };

  /** Lets in whoever signed the body. */
  const verify: RequestHandler = async (request, response, next) => {
    const signed: { signature: string; found: Found | undefined; floor: Promise<void> } | undefined =
      response.locals['signed'];
    if (!signed) return next();
    const { signature, found: entry, floor } = signed;
    if (!(await isSigned(bodyOf(request), signature, entry?.token))) return refuse(response, entry, floor);
    response.locals['target'] = entry;
    next();
  };

  const admit: RequestHandler = (_request, response, next) => {
    const kind = response.locals['signed'] ? 'strangers' : 'known';
    if (inFlight[kind] < (kind === 'known' ? atOnce : strangersAtOnce)) {
      inFlight[kind] += 1;
      response.once('close', () => {
        inFlight[kind] -= 1;
      });
      return next();
    }
    response.set('Retry-After', '1');
    plain(response, 503, 'too many events at once: send again');
  };

  const trusted = express.raw({ limit: largestBody, type: () => true });
  const stranger = express.raw({ limit: largestSignedBody, type: () => true });
  const read: RequestHandler = (request, response, next) =>
    (response.locals['signed'] ? stranger : trusted)(request, response, next);
  return { sender, body: [sender, admit, read, verify] };
}
