import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';

/** Checks users of HTTP basic authentication against bcrypt hashes. */
export interface UserCheck {
  /** @throws Error when too many checks wait already. */
  check(users: ReadonlyMap<string, string>, user: string, password: string): Promise<boolean>;
  close(): Promise<void>;
}

/** A hash of nothing that anyone knows, with the highest cost of all users: an unknown user takes as long as a known one. */
function unknownUserHash(users: ReadonlyMap<string, string>): string {
  const costs = [...users.values()].map((hash) => /^\$2.?\$(\d\d)\$/.exec(hash)?.[1] ?? '10').sort();
  return `$2b$${costs.at(-1) ?? '10'}$CwTycUXWue0Thq9StjUM0uJ8nF7lqD2yWjJ3mJH2vYv8v2bB1kK0e`;
}

/** Of wrong passwords; right ones are as few as users, so that wrong ones never push them out. */
const cachedAtMost = 100;
const waitingAtMost = 64;

export function createUserCheck(): UserCheck {
  const right = new Set<string>();
  const wrong = new Set<string>();
  const checking = new Map<string, Promise<boolean>>();
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
      if (right.has(key)) return true;
      if (wrong.has(key)) return false;
      const running = checking.get(key);
      if (running) return running;
      if (pending.size >= waitingAtMost) throw new Error('too many passwords are being checked');
      const check = compare(password, hash ?? unknownUserHash(users)).then(
        (same) => same && hash !== undefined,
      );
      checking.set(key, check);
      try {
        const same = await check;
        const results = same ? right : wrong;
        results.add(key);
        const [oldest] = results;
        if (results.size > cachedAtMost && oldest !== undefined) results.delete(oldest);
        return same;
      } finally {
        checking.delete(key);
      }
    },
    async close() {
      await worker?.terminate();
    },
  };
}
