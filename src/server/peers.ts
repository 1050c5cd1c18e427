import { request as send } from 'undici';
import type { AskPeer, PeerAnswer } from '../daemon/offers.ts';
import type { Logger } from '../provider.ts';

const headersTimeoutMs = 5_000;
const bodyTimeoutMs = 10_000;
/** Of a whole answer, so that one that trickles in holds no start up. */
const wholeMs = 60_000;
const longestRefusal = 10_000;
/** A shard that did not answer is not asked again for so long: many registries may be waiting for it. */
const silentMs = 4_000;

/** What a status says where there is no file. */
const meanings: Readonly<Record<number, PeerAnswer>> = { 404: 'nothing', 409: 'not yet', 503: 'not yet' };

/**
 * Asks other shards for the state of registries that they polled before.
 * @param peers address of the shards with `{shard}` in the place of the number
 */
export function createAskPeer(peers: string, log: Logger): AskPeer {
  const silentUntil = new Map<number, number>();
  const told = new Set<string>();
  const tell = (shard: number, problem: string, err?: unknown): void => {
    const key = `${shard} ${problem}`;
    log[told.has(key) ? 'debug' : 'warn']({ shard, err }, problem);
    told.add(key);
  };

  return async (shard, { registry, kind, token }) => {
    if (performance.now() < (silentUntil.get(shard) ?? 0)) return 'no answer';
    const path = `/-/state/${encodeURIComponent(registry)}/${kind}`;
    try {
      const { statusCode, body } = await send(new URL(path, peers.replaceAll('{shard}', String(shard))), {
        headers: token ? { authorization: `Bearer ${await token.read()}` } : {},
        headersTimeout: headersTimeoutMs,
        bodyTimeout: bodyTimeoutMs,
        signal: AbortSignal.timeout(wholeMs),
      });
      if (statusCode === 200) return body;
      await body.dump({ limit: longestRefusal });
      const meaning = meanings[statusCode];
      if (meaning === undefined)
        tell(shard, `a shard does not give the state of registries that moved: it answers ${statusCode}`);
      return meaning ?? 'nothing';
    } catch (err) {
      silentUntil.set(shard, performance.now() + silentMs);
      tell(shard, 'a shard that may have the state of registries does not answer', err);
      return 'no answer';
    }
  };
}
