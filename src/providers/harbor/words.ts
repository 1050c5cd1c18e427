import type { CollectContext } from '../../provider.ts';

/** Says that Harbor used a word that is not known here, or none. */
export function tellOfWord(context: Pick<CollectContext, 'tell'>, what: string, given: unknown): void {
  const word = typeof given === 'string' ? given.slice(0, 100) : typeof given;
  context.tell(`${what} ${word}`, { word }, `Harbor gave ${what} that is not known here: it is unknown`);
}
