import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';

/** Connections at once, of all clients. */
const mostConnections = 512;
/** And of one address, so that none can lock out the others. */
const mostOfOneAddress = mostConnections / 2;
/** Requests that wait on one connection for the answer before; a scraper sends one after the other. */
const mostPipelined = 8;

/** Bounds the connections of a server, in all and by address. */
export function limitConnections(server: Server): void {
  server.maxConnections = mostConnections;
  const open = new Map<string, number>();
  server.prependListener('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const connections = (open.get(address) ?? 0) + 1;
    if (connections > mostOfOneAddress) {
      socket.destroy();
      return;
    }
    open.set(address, connections);
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left === 0) open.delete(address);
      else open.set(address, left);
    });
  });
}

/**
 * Lets the requests of one connection in one after the other: Node begins all that a client sends at once, and answers
 * that nobody reads would take the place of other clients' scrapes.
 */
export function createPipelineGate(): (
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<boolean> {
  const waiting = new WeakMap<Socket, { last: Promise<void>; length: number }>();
  return async ({ socket }, response) => {
    const queue = waiting.get(socket) ?? { last: Promise.resolve(), length: 0 };
    waiting.set(socket, queue);
    if (queue.length >= mostPipelined) {
      socket.destroy();
      return false;
    }
    queue.length += 1;
    const before = queue.last;
    queue.last = new Promise((resolve) => {
      response.once('close', () => {
        queue.length -= 1;
        resolve();
      });
    });
    await before;
    return !socket.destroyed;
  };
}

/** Counts what runs at once, in all and by address; no address gets more than three quarters. */
export function createScrapeSlots(most: number) {
  const ofOne = Math.max(1, Math.ceil((most * 3) / 4));
  const running = new Map<string, number>();
  let all = 0;
  return {
    /** @returns what to call at the end; undefined where there is no free slot */
    take(address: string): (() => void) | undefined {
      const own = running.get(address) ?? 0;
      if (most > 0 && (all >= most || own >= ofOne)) return undefined;
      all += 1;
      running.set(address, own + 1);
      return () => {
        all -= 1;
        const left = (running.get(address) ?? 1) - 1;
        if (left === 0) running.delete(address);
        else running.set(address, left);
      };
    },
  };
}
