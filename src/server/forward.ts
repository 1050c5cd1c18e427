import type { IncomingHttpHeaders } from 'node:http';
import type { Request, Response } from 'express';
import { request as send } from 'undici';
import type { Logger } from '../provider.ts';

/** Push events for a registry that another shard polls. */
export interface Elsewhere {
  readonly registry: string;
  /** The shard that polls it, from 0. */
  readonly shard: number;
  /** The body, unpacked. */
  readonly raw: Buffer;
}

/** Hands a request to another shard, and its answer to the sender. Ends the response in each case. */
export type Forward = (request: Request, response: Response, to: Elsewhere) => Promise<void>;

/** A request that has it was forwarded once: shards that do not agree must not send it in a circle. */
const mark = 'x-container-registry-exporter-forwarded';
/** Headers of one connection, and those that the unpacked body makes untrue. */
const ownHeaders = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer', 'expect'];
const bodyHeaders = ['content-length', 'content-encoding', 'host'];
const left = new Set([...ownHeaders, ...bodyHeaders]);
const timeoutMs = 10_000;
const longestAnswer = 10_000;

const kept = (headers: IncomingHttpHeaders): IncomingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !left.has(name)));

function answer(response: Response, status: number, text: string): void {
  if (status === 503) response.set('Retry-After', '5');
  response.status(status).type('text').send(`${text}\n`);
}

/**
 * @param peers address of the shards with `{shard}` in the place of the number, such as
 * `http://exporter-{shard}.exporter-shards:10056`; undefined where they do not know each other
 */
export function createForward(peers: string | undefined, log: Logger): Forward {
  const told = new Set<string>();
  const tell = (fields: { readonly registry: string; readonly shard: number }, message: string): void => {
    const isTold = told.has(message);
    told.add(message);
    log[isTold ? 'debug' : 'warn'](fields, message);
  };

  return async (request, response, { registry, shard, raw }) => {
    const fields = { registry, shard };
    if (request.get(mark) !== undefined) return answer(response, 503, 'the shards change: send again');
    if (peers === undefined) {
      tell(
        fields,
        'push events go to the shard that polls the registry: send them there, or set --shard.peers',
      );
      return answer(response, 421, `shard ${shard} polls this registry: send its events there`);
    }
    const url = new URL(
      `/events/${encodeURIComponent(registry)}`,
      peers.replaceAll('{shard}', String(shard)),
    );
    try {
      const { statusCode, headers, body } = await send(url, {
        method: 'POST',
        query: request.query,
        headers: { ...kept(request.headers), [mark]: '1' },
        body: raw,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
      });
      await body.dump({ limit: longestAnswer });
      const { 'retry-after': retryAfter } = headers;
      if (retryAfter !== undefined) response.set('Retry-After', retryAfter);
      response.status(statusCode).end();
    } catch (err) {
      tell(fields, 'push events could not be handed to the shard that polls the registry: see --shard.peers');
      log.debug({ err, ...fields }, 'a shard does not answer');
      answer(response, 503, 'the shard that polls this registry does not answer: send again');
    }
  };
}
