import { parentPort } from 'node:worker_threads';
import bcrypt from 'bcryptjs';

/** Comparing a password takes a tenth of a second of pure computing: it happens here, beside the event loop. */
parentPort?.on('message', ({ password, hash }: { password: string; hash: string }) => {
  parentPort?.postMessage(bcrypt.compareSync(password, hash));
});
