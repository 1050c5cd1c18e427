import { LRUCache } from 'lru-cache';

/** An access token, and until when it is used. */
export interface Token {
  readonly value: string;
  /** Monotonic milliseconds. */
  readonly validUntil: number;
}

/** Access tokens, each asked for once however many requests want it at the same time. */
export interface Tokens {
  /**
   * The token that is kept under the key, or a new one.
   * @param key everything that the token depends on
   * @param refused a token that the registry no longer takes: it is not given again
   * @throws what `fetch` throws, to everybody who waited for it; the failure is not kept
   */
  get(key: string, fetch: () => Promise<Token>, refused?: string): Promise<string>;
  /** Gives a token up that may be good no longer, unless it was asked for a moment ago: then it is not for its age. */
  doubt(value: string): void;
}

/** A token of this age is not refused for its age. */
const youngMs = 60_000;

export function createTokens(most: number): Tokens {
  const kept = new LRUCache<string, Promise<Token>>({ max: most });
  /** Where each token is kept, and since when. */
  const places = new LRUCache<string, { readonly key: string; readonly since: number }>({ max: most });
  return {
    doubt(value) {
      const place = places.get(value);
      if (!place || performance.now() - place.since < youngMs) return;
      kept.delete(place.key);
      places.delete(value);
    },
    async get(key, fetch, refused) {
      const current = kept.get(key);
      if (current) {
        const token = await current;
        if (token.value !== refused && token.validUntil > performance.now()) return token.value;
      }
      // Somebody else may have asked for a new one meanwhile.
      const newer = kept.get(key);
      if (newer && newer !== current) return (await newer).value;
      const pending = fetch();
      kept.set(key, pending);
      try {
        const { value } = await pending;
        places.set(value, { key, since: performance.now() });
        return value;
      } catch (error) {
        if (kept.get(key) === pending) kept.delete(key);
        throw error;
      }
    },
  };
}
