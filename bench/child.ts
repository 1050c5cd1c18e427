import { fork } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Measurements, Publish } from './server-measurements.ts';

/** A server in a process of its own, so that its CPU and memory are its own. */
export interface Child {
  readonly port: number;
  readonly first: Publish;
  /** Since the last call. */
  measure(): Promise<Measurements>;
  act(action: 'one' | 'all'): Promise<Publish>;
  stop(): void;
}

/** Starts `bench/server-<kind>.ts`. */
export async function startChild(kind: 'ours' | 'prom-client' | 'static', argument: string): Promise<Child> {
  const child = fork(join(import.meta.dirname, `server-${kind}.ts`), [argument], {
    // The exporter's own setting (see Dockerfile) for the exporter; room enough for the baseline.
    execArgv: [kind === 'prom-client' ? '--max-old-space-size=12000' : '--max-semi-space-size=4'],
  });
  const answer = <T>() =>
    new Promise<T>((resolve, reject) => {
      child.once('message', (message) => {
        child.removeAllListeners('exit');
        resolve(message as T);
      });
      child.once('exit', (code) => reject(new Error(`${kind} ended with ${code}`)));
    });
  const ask = async <T>(question: string): Promise<T> => {
    const answered = answer<T>();
    child.send(question);
    return answered;
  };
  const { port, first } = await answer<{ port: number; first: Publish }>();
  return {
    port,
    first,
    measure: () => ask('measure'),
    act: (action) => ask(action),
    stop: () => void child.kill(),
  };
}

/**
 * One scrape, read to its end and thrown away: by a bare socket, so that the client costs as little as it can.
 * @param slow reads so many bytes per second at most, until the signal ends it
 */
export function scrape(
  port: number,
  encoding: 'gzip' | 'identity',
  options: {
    readonly accept?: string;
    readonly slow?: { readonly bytesPerSecond: number; readonly signal: AbortSignal };
  } = {},
): Promise<{ ms: number; bytes: number }> {
  const { accept = 'text/plain', slow } = options;
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let bytes = 0;
    socket.write(
      `GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\nAccept-Encoding: ${encoding}\r\nConnection: close\r\n\r\n`,
    );
    socket.on('data', (data: Buffer) => {
      bytes += data.length;
      if (!slow) return;
      socket.pause();
      setTimeout(() => socket.resume(), (data.length / slow.bytesPerSecond) * 1000);
    });
    slow?.signal.addEventListener('abort', () => socket.destroy());
    socket.on('close', () => resolve({ ms: performance.now() - started, bytes }));
    socket.on('error', reject);
  });
}
