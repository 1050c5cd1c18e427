import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';

/** Checks users of HTTP basic authentication against bcrypt hashes. */
export interface UserCheck {
  /** @throws Error when too many checks wait already. */
  check(users: ReadonlyMap<string, string>, user: string, password: string): Promise<boolean>;
  close(): Promise<void>;
}

/** A hash of nothing that anyone knows: an unknown user takes as long as a known one. */
const unknownUserHash = '$2b$10$CwTycUXWue0Thq9StjUM0uJ8nF7lqD2yWjJ3mJH2vYv8v2bB1kK0e';
const cached = 100;
const waitingAtMost = 64;

export function createUserCheck(): UserCheck {
  const results = new Map<string, boolean>();
  const pending = new Map<number, (same: boolean) => void>();
  let worker: Worker | undefined;
  let nextId = 0;

  const compare = (password: string, hash: string): Promise<boolean> => {
    if (!worker) {
      const file = import.meta.url.endsWith('.ts') ? './bcrypt-worker.ts' : './bcrypt-worker.js';
      worker = new Worker(new URL(file, import.meta.url));
      worker.unref();
      worker.on('message', ({ id, same }: { id: number; same: boolean }) => {
        pending.get(id)?.(same);
        pending.delete(id);
      });
      worker.on('error', () => {
        for (const settle of pending.values()) settle(false);
        pending.clear();
        worker = undefined;
      });
    }
    const id = nextId++;
    return new Promise((resolve) => {
      pending.set(id, resolve);
      worker?.postMessage({ id, password, hash });
    });
  };

  return {
    async check(users, user, password) {
      const hash = users.get(user);
      const key = createHash('sha256')
        .update(JSON.stringify([user, hash, password]))
        .digest('base64');
      const known = results.get(key);
      if (known !== undefined) return known;
      if (pending.size >= waitingAtMost) throw new Error('too many passwords are being checked');
      const same = (await compare(password, hash ?? unknownUserHash)) && hash !== undefined;
      results.set(key, same);
      const [oldest] = results.keys();
      if (results.size > cached && oldest !== undefined) results.delete(oldest);
      return same;
    },
    async close() {
      await worker?.terminate();
    },
  };
}
