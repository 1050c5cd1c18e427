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
}

export function createTokens(most: number): Tokens {
  const kept = new LRUCache<string, Promise<Token>>({ max: most });
  return {
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
        return (await pending).value;
      } catch (error) {
        if (kept.get(key) === pending) kept.delete(key);
        throw error;
      }
    },
  };
}
