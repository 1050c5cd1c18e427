/**
 * Runs a check of how long something took on a machine that has nothing else to do (`LONG=1`). Tests of the default
 * run depend on no machine's speed: what is timed for its own sake is in `bench/`.
 */
export function onQuietMachine(check: () => void): void {
  if (process.env['LONG'] === '1') check();
}
