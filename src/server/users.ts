import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';

/** Checks users of HTTP basic authentication against bcrypt hashes. */
export interface UserCheck {
  /**
   * @param address of the client: those of others do not wait for all of its checks
   * @throws Error when the password cannot be checked now: too many wait already, or the check takes too long
   */
  check(
    users: ReadonlyMap<string, string>,
    user: string,
    password: string,
    address?: string,
  ): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * The hash of a password that nobody knows, for users who do not exist. Its cost is fixed, as upstream's: with the
 * highest cost of all users, strangers could keep the checker busy for seconds with each request.
 * https://github.com/prometheus/exporter-toolkit/blob/master/web/handler.go
 */
const nobodysHash = '$2b$10$CwTycUXWue0Thq9StjUM0uJ8nF7lqD2yWjJ3mJH2vYv8v2bB1kK0e';

/** Of wrong passwords; right ones are as few as users, so that wrong ones never push them out. */
const rememberedAtMost = 100;
const waitingAtMost = 64;
/** Of one user, known or not, so that guesses at one password leave places for the others. */
const waitingOfOneUser = 8;
/** Of one address, so that guesses at many users do. */
const waitingOfOneAddress = waitingAtMost / 2;
/** A hash that takes longer has a cost that no exporter can bear. */
const longestCheckMs = 10_000;

interface Check {
  readonly password: string;
  readonly hash: string;
  readonly address: string;
  resolve(same: boolean): void;
  reject(error: Error): void;
}

/** Compares passwords in a thread of its own, one after the other; addresses take turns. */
function createComparer() {
  const queue: Check[] = [];
  let worker: Worker | undefined;
  let current: Check | undefined;
  /** Addresses in the order in which they had their last turn. */
  const served = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  const finish = (settle: (check: Check) => void): void => {
    clearTimeout(timer);
    const check = current;
    current = undefined;
    if (check) settle(check);
    next();
  };
  const restart = (why: string): void => {
    void worker?.terminate();
    worker = undefined;
    finish((check) => check.reject(new Error(why)));
  };
  const start = (): Worker => {
    const file = import.meta.url.endsWith('.ts') ? './bcrypt-worker.ts' : './bcrypt-worker.js';
    const started = new Worker(new URL(file, import.meta.url));
    started.unref();
    started.on('message', (same: boolean) => finish((check) => check.resolve(same)));
    started.on('error', ({ message }) => {
      if (worker === started) restart(`the password could not be checked: ${message}`);
    });
    return started;
  };
  function next(): void {
    if (current) return;
    if (queue.length === 0) {
      served.clear();
      return;
    }
    const turns = [...served];
    const turnOf = ({ address }: Check) => turns.indexOf(address);
    // The first of those that have not been served for longest.
    const at = queue.reduce((best, check, index) => {
      const other = queue[best];
      return other && turnOf(check) < turnOf(other) ? index : best;
    }, 0);
    current = queue.splice(at, 1)[0] as Check;
    served.delete(current.address);
    served.add(current.address);
    worker ??= start();
    timer = setTimeout(
      () => restart('the check of the password takes too long: lower the cost of its hash'),
      longestCheckMs,
    );
    timer.unref();
    worker.postMessage({ password: current.password, hash: current.hash });
  }
  return {
    compare: (password: string, hash: string, address: string): Promise<boolean> =>
      new Promise((resolve, reject) => {
        queue.push({ password, hash, address, resolve, reject });
        next();
      }),
    async close() {
      const ended = new Error('the exporter stops');
      for (const check of queue.splice(0)) check.reject(ended);
      await worker?.terminate();
      worker = undefined;
      finish((check) => check.reject(ended));
    },
  };
}

export function createUserCheck(): UserCheck {
  const right = new Set<string>();
  const wrong = new Set<string>();
  const checking = new Map<
    string,
    { readonly user: string; readonly address: string; readonly same: Promise<boolean> }
  >();
  const comparer = createComparer();

  const remember = (results: Set<string>, key: string): void => {
    results.add(key);
    const [oldest] = results;
    if (results.size > rememberedAtMost && oldest !== undefined) results.delete(oldest);
  };

  return {
    async check(users, user, password, address = '') {
      const hash = users.get(user);
      const key = createHash('sha256')
        .update(JSON.stringify([user, hash, password]))
        .digest('base64');
      if (right.has(key)) return true;
      if (wrong.has(key)) return false;
      const running = checking.get(key);
      if (running) return running.same;
      const waiting = [...checking.values()];
      if (
        waiting.length >= waitingAtMost ||
        waiting.filter((check) => check.user === user).length >= waitingOfOneUser ||
        waiting.filter((check) => check.address === address).length >= waitingOfOneAddress
      )
        throw new Error('too many passwords are being checked');
      const same = comparer
        .compare(password, hash ?? nobodysHash, address)
        .then((equal) => equal && hash !== undefined);
      checking.set(key, { user, address, same });
      try {
        const result = await same;
        remember(result ? right : wrong, key);
        return result;
      } finally {
        checking.delete(key);
      }
    },
    close: comparer.close,
  };
}
