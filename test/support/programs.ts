import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The path of a program, or undefined when it is not there. */
export function program(name: string): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {}
  }
  return undefined;
}

/**
 * Whether all programs are there, for `describe.skipIf(!programs('promtool'))`. What is missing is printed; with
 * `REQUIRE_TOOLS=1` it is an error, so that CI cannot pass by skipping.
 */
export function programs(...names: readonly string[]): boolean {
  const missing = names.filter((name) => program(name) === undefined);
  if (missing.length === 0) return true;
  const message = `not on the path: ${missing.join(', ')}`;
  if (process.env['REQUIRE_TOOLS'] === '1') throw new Error(`${message} (REQUIRE_TOOLS=1)`);
  console.warn(`skipped: ${message}`);
  return false;
}

/** A program that runs in the background of a test. */
export interface RunningProgram {
  readonly process: ChildProcess;
  output(): string;
  /** What the pattern to wait for matched. */
  readonly match: RegExpExecArray | undefined;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a program and waits until its output matches. */
export async function startProgram(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; waitFor?: RegExp; timeoutMs?: number } = {},
): Promise<RunningProgram> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => (output += data.toString()));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let failed: Error | undefined;
  child.once('error', (error) => (failed = error));
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await Promise.race([exited, sleep(8000)]);
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
  };
  const { waitFor } = options;
  if (!waitFor) return { process: child, output: () => output, match: undefined, stop };
  const deadline = Date.now() + (options.timeoutMs ?? 20_000);
  for (;;) {
    const match = waitFor.exec(output);
    if (match) return { process: child, output: () => output, match, stop };
    if (failed || child.exitCode !== null || Date.now() > deadline) {
      await stop('SIGKILL');
      throw new Error(`${command} did not say ${waitFor}: ${failed?.message ?? ''}\n${output}`);
    }
    await sleep(20);
  }
}

/** A port of the loopback interface that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** A folder that is removed when disposed. */
export function tempDir(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'cre-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Waits until the check no longer throws, and gives its result. */
export async function eventually<T>(check: () => T | Promise<T>, timeoutMs = 120_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}
