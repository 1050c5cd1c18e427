import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, RequestHandler, Response } from 'express';
import { type Daemon, type HandedOver, handedOver } from '../daemon.ts';
import { plain } from './event-gate.ts';
import { mayEnter } from './sender.ts';

/** The handler of {@link createStateRoute}. */
export type StateRoute = RequestHandler<{ registry: string; kind: string }>;
type Found = Awaited<ReturnType<Daemon['savedState']>>;

/** Files that are sent at once: whoever gets no turn asks again. */
const atOnce = 4;

const isKind = (kind: string): kind is HandedOver => (handedOver as readonly string[]).includes(kind);

/** Sends the file, or says why there is none. */
async function send(request: Request, response: Response, state: Found): Promise<void> {
  if (state === 'not yet') return void plain(response, 409, 'this shard is not done with the registry');
  if (state === 'nothing') return void plain(response, 404, 'nothing is saved here');
  if (state.token && !(await mayEnter(request, state.token)))
    return void plain(response, 401, 'unauthorized');
  response.type('application/octet-stream').set('Cache-Control', 'no-store');
  // Where it breaks off there is no checksum at its end.
  await pipeline(Readable.from(state.pieces), response).catch(() => response.destroy());
}

/**
 * Answers `GET /-/state/<registry>/<kind>`: what this shard saved of a registry that it no longer polls, for the shard that
 * polls it now. It tells what `/metrics` does and digests of images, and who may ask is the same; a registry with
 * a token for push events asks for that too.
 */
export function createStateRoute(savedState: Daemon['savedState']): StateRoute {
  let sending = 0;
  return async (request, response) => {
    const { registry, kind } = request.params;
    if (!isKind(kind)) return void plain(response, 404, 'not found');
    if (sending >= atOnce) return void plain(response, 503, 'ask again');
    sending += 1;
    try {
      await send(request as unknown as Request, response, await savedState(registry, kind));
    } finally {
      sending -= 1;
    }
  };
}
