import { parentPort } from 'node:worker_threads';
import bcrypt from 'bcryptjs';

/** Comparing a password takes a tenth of a second of pure computing: it happens here, beside the event loop. */
parentPort?.on('message', ({ id, password, hash }: { id: number; password: string; hash: string }) => {
  parentPort?.postMessage({ id, same: bcrypt.compareSync(password, hash) });
});
