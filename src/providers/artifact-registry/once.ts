import type { Session } from '../../provider.ts';

/** Runs what is to be said once while the registry's loop runs. */
export function once(session: Session, key: string, say: () => void): void {
  session.keep(`said ${key}`, () => {
    say();
    return true;
  });
}
