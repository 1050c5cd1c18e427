/** Saves snapshots without end, each newer than the last: what a test kills. Argument: the folder. */
import { createStorage } from '../../src/storage.ts';
import { snapshotOf } from './snapshots.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const storage = createStorage({ path: process.argv[2], registry: 'edge', target: 'test', log: silent });
const before = (await storage.loadSnapshot())?.observedAt ?? 0;
for (let at = before + 1; ; at += 1) {
  await storage.saveSnapshot(snapshotOf(at));
  process.stdout.write(`${at}\n`);
}
