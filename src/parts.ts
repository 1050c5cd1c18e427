import { CollectError } from './errors.ts';
import type { Capability, CollectContext } from './provider.ts';

/**
 * A refusal with the permission that would allow it; any other error as it is.
 * @param permission as the vendor's pages name it
 */
export function needing(permission: string, error: unknown): unknown {
  if (!(error instanceof CollectError) || !['auth', 'forbidden'].includes(error.reason)) return error;
  return new CollectError(error.reason, `${error.message}; it needs ${permission}`, {
    cause: error,
    status: error.status,
  });
}

/** What a part of the data is for, and what allows to read it. */
export interface Part {
  readonly capability: Capability | readonly Capability[];
  readonly permission: string;
}

/**
 * Reads a part that may fail alone: then its capabilities are degraded, and the rest of the poll goes on.
 * @param absent whether an error says that this registry does not have the part: then nothing is degraded
 * @returns undefined where the part could not be read
 */
export async function readPart<T>(
  context: Pick<CollectContext, 'degraded' | 'signal'>,
  { capability, permission }: Part,
  read: () => Promise<T>,
  absent: (error: unknown) => boolean = () => false,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    context.signal.throwIfAborted();
    if (!absent(error))
      for (const degraded of [capability].flat()) context.degraded(degraded, needing(permission, error));
    return undefined;
  }
}

/**
 * What a word of the vendor's stands for. A word that is not known here is reported once.
 * @param what names what the word is about, such as `the status of a scan`
 * @param meanings by word, in lower case
 * @param otherwise what follows from an unknown word
 */
export function meaningOf<T>(
  { tell }: Pick<CollectContext, 'tell'>,
  what: string,
  meanings: Readonly<Record<string, T>>,
  word: unknown,
  otherwise?: string,
): T | undefined {
  const key = typeof word === 'string' ? word.toLowerCase() : '';
  if (Object.hasOwn(meanings, key)) return meanings[key];
  tellOfWord({ tell }, what, word, otherwise);
  return undefined;
}

/** Reports that a word of the vendor's, or what stands in its place, is not known here. */
export function tellOfWord(
  { tell }: Pick<CollectContext, 'tell'>,
  what: string,
  word: unknown,
  otherwise = 'it is unknown',
): void {
  const shown = typeof word === 'string' ? word.slice(0, 100) : typeof word;
  tell(
    `${what} ${shown}`,
    { word: shown },
    `the registry gives ${what} that is not known here: ${otherwise}`,
  );
}
