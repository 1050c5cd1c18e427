import { CollectError } from '../errors.ts';
import type { HttpClient, HttpResponse } from '../http.ts';
import type { Greeting, Learned } from './learned.ts';
import { schemesOf, usualOf } from './scheme.ts';

/** Any answer says something; only who throttles is asked again. */
const statuses = Array.from({ length: 300 }, (_, index) => 300 + index).filter((status) => status !== 429);

/** What the network says is true of all requests; what is odd about this answer is not. */
const ofNetwork = new Set(['dns', 'connect', 'tls', 'timeout', 'throttled']);

/**
 * Asks `/v2/`: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#endpoints
 * @returns undefined where the answer is none that can be read
 */
export async function askVersion(
  http: HttpClient,
  endpoint: URL,
  authorization?: string,
): Promise<HttpResponse | undefined> {
  try {
    return await http.request({
      url: `${endpoint.href.replace(/\/+$/, '')}/v2/`,
      operation: 'version',
      accept: statuses,
      headers: authorization === undefined ? undefined : { authorization },
    });
  } catch (error) {
    if (error instanceof CollectError && !ofNetwork.has(error.reason)) return undefined;
    throw error;
  }
}

/** Asks a registry how it wants credentials to be shown, as docker and other clients do before anything else. */
async function greet(http: HttpClient, endpoint: URL): Promise<Greeting> {
  const response = await askVersion(http, endpoint);
  if (!response) return { speaks: false };
  const { origin, pathname } = response.url;
  if (origin !== endpoint.origin)
    return { speaks: false, elsewhere: /\/v2\/?$/.test(pathname) ? origin : undefined };
  if (response.status === 401) {
    const scheme = usualOf(schemesOf(response)[0]);
    // A refusal without a challenge is not about credentials.
    return scheme ? { speaks: true, scheme } : { speaks: false };
  }
  return { speaks: response.status < 300, passing: response.status >= 500 };
}

/** Asks once for as long as the registry is known; after an answer that may pass, once in each cycle. */
export function createGreeting(http: HttpClient, endpoint: URL, learned: Learned): () => Promise<Greeting> {
  let passing: Promise<Greeting> | undefined;
  return async () => {
    const asked = learned.greeting ?? passing ?? greet(http, endpoint);
    if (asked !== passing) learned.greeting = asked;
    try {
      const answer = await asked;
      if (answer.passing && learned.greeting === asked) {
        delete learned.greeting;
        passing = asked;
      }
      return answer;
    } catch (error) {
      if (learned.greeting === asked) delete learned.greeting;
      throw error;
    }
  };
}
