import { CollectError } from '../../errors.ts';
import { type HttpClient, type HttpResponse, largestAnswer, shown } from '../../http.ts';
import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { basicHeader, parseToken } from '../../registry-auth.ts';
import type { Account } from './login.ts';

/** The image that Docker keeps for this: https://docs.docker.com/docker-hub/usage/pulls/#view-hourly-pull-rate-and-limit */
const image = 'ratelimitpreview/test';

/** What a registry says of the pulls that are left. */
export interface Reading {
  readonly limit: number;
  readonly remaining: number;
  /** Absent where it is not told. */
  readonly windowSeconds?: number;
  /** Whom the pulls are counted for: an address or an account. */
  readonly source: string;
}

/** A value such as `100;w=21600`; a list begins with the one that counts. */
export function parseLimit(
  value: string,
): { readonly amount: number; readonly windowSeconds?: number } | undefined {
  const [first = ''] = value.split(',');
  const [amount = '', ...parameters] = first.split(';').map((piece) => piece.trim());
  if (!/^\d+$/.test(amount)) return undefined;
  const window = parameters
    .map((parameter) => /^w\s*=\s*(\d+)$/i.exec(parameter)?.[1])
    .find((seconds) => seconds !== undefined);
  return { amount: Number(amount), ...(window !== undefined && { windowSeconds: Number(window) }) };
}

/** What was answered: a reading, headers that hold no numbers (such as `;w=21600`), or none, as for paid plans. */
export interface Limits {
  readonly reading?: Reading;
  readonly malformed?: CollectError;
}

/** An address or the id of an account; anything else is no label. */
const sourceOf = (text = ''): string => (/^[0-9a-f][0-9a-f.:-]{5,99}$/i.test(text) ? text : '');

function readLimits({ header, url }: HttpResponse): Limits {
  const limitText = header('ratelimit-limit');
  const remainingText = header('ratelimit-remaining');
  if (limitText === undefined && remainingText === undefined) return {};
  const limit = parseLimit(limitText ?? '');
  const remaining = parseLimit(remainingText ?? '');
  if (!limit || !remaining)
    return {
      malformed: new CollectError(
        'invalid_response',
        `${url.origin} sent a pull limit that is no number: ratelimit-limit ${JSON.stringify(limitText)}, ratelimit-remaining ${JSON.stringify(remainingText)}. It does so at times; the next poll asks again`,
      ),
    };
  const windowSeconds = limit.windowSeconds ?? remaining.windowSeconds;
  return {
    reading: {
      limit: limit.amount,
      remaining: remaining.amount,
      windowSeconds,
      source: sourceOf(header('docker-ratelimit-source')),
    },
  };
}

/** What is remembered of a reading, over restarts too; Unix seconds. */
export interface Remembered {
  readonly reading: Reading;
  readonly at: number;
  /** A jump to the maximum was seen after it, once. */
  readonly jumped?: boolean;
}

/**
 * What to believe. Docker Hub answers now and then that nothing was used at all, and the next time goes on where it
 * was: a jump to the maximum within the window is believed when it is read twice in a row.
 * https://github.com/viadee/docker-hub-rate-limit-exporter/issues/6
 */
export function settle(before: Remembered | undefined, reading: Reading, now: number): Remembered {
  const full = reading.remaining >= reading.limit;
  const last = before?.reading;
  const comparable = last?.source === reading.source && last.limit === reading.limit;
  const within = before !== undefined && now - before.at < (reading.windowSeconds ?? 21_600);
  const doubtful = full && comparable && within && last.remaining < last.limit && !before?.jumped;
  return doubtful ? { ...before, jumped: true } : { reading, at: now };
}

/**
 * Asks how many pulls are left, with a HEAD, which is no pull itself.
 * @throws CollectError when there is no answer
 */
export async function readPullLimit(options: {
  readonly http: HttpClient;
  readonly authEndpoint: string;
  readonly registryEndpoint: string;
  readonly account: Account | undefined;
}): Promise<Limits> {
  const { http, authEndpoint, registryEndpoint, account } = options;
  const url = new URL(`${authEndpoint}/token`);
  url.searchParams.set('service', 'registry.docker.io');
  url.searchParams.set('scope', `repository:${image}:pull`);
  const answer = await http.request({
    url,
    operation: 'registry_token',
    maxBytes: largestAnswer.token,
    headers: account
      ? { authorization: basicHeader({ username: account.username, password: account.secret }) }
      : {},
  });
  const response = await http.request({
    method: 'HEAD',
    url: `${registryEndpoint}/v2/${image}/manifests/latest`,
    operation: 'pull_limit',
    headers: {
      authorization: `Bearer ${parseToken(answer).value}`,
      accept:
        'application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*',
    },
    // Who has no pulls left is told so in the same headers.
    accept: [429],
  });
  const limits = readLimits(response);
  if (limits.reading || response.status !== 429) return limits;
  throw new CollectError('throttled', `HEAD ${shown(response.url)} answered 429 without a pull limit`, {
    status: 429,
  });
}

const memoryKey = 'docker-hub pull limit';

/** The facts of a reading, as far as it is believed. */
export function pullLimitFacts(
  reading: Reading | undefined,
  { memory, now, tell }: Pick<CollectContext, 'memory' | 'now' | 'tell'>,
): RegistryFacts {
  const remembered = memory.get<Remembered>(memoryKey);
  if (!reading) {
    if (remembered)
      tell(
        'no pull limit',
        {},
        'Docker Hub sends no pull limit any more: the account has none, or a proxy takes its headers away',
      );
    return {};
  }
  const before = remembered?.value;
  const settled = settle(before, reading, now());
  memory.set(memoryKey, settled);
  const { limit, remaining, windowSeconds, source } = settled.reading;
  return {
    pullLimit: limit,
    pullRemaining: remaining,
    pullLimitWindowSeconds: windowSeconds,
    ...(source !== '' && { pullLimitSource: source }),
  };
}
