/** Calls that Node makes on its pool of threads. */
const pooled = /^(FSReq|GetAddrInfo|GetNameInfo)/;

/**
 * Ends the process. `process.exit` waits for the pool of threads, and so for ever when one of them reads a volume that
 * hangs, or seconds when a name server does not answer: the process is replaced by one that ends at once then.
 */
export function leave(code: number): never {
  if (process.getActiveResourcesInfo().some((kind) => pooled.test(kind))) {
    try {
      process.execve?.(process.execPath, [process.execPath, '-e', `process.exit(${code})`], {});
    } catch {}
    // Where a process cannot be replaced, as on Windows.
    process.kill(process.pid, 'SIGKILL');
  }
  process.exit(code);
}
