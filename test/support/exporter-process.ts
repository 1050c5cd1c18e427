import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../loop/scripted.ts';
import { type OciSimulator, startOciSimulator } from '../simulators/oci.ts';
import { createStore } from '../simulators/oci-store.ts';

const root = join(import.meta.dirname, '../..');

/** The exporter as a process of its own. */
export interface ExporterProcess {
  readonly child: ChildProcess;
  /** What it wrote to standard error so far. */
  told(): string;
  /** Its address, once it says that it listens. */
  url(): Promise<string>;
  metric(name: string): Promise<number | undefined>;
  /** How it ended: its code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
}

export interface ProcessOptions {
  /** What is run instead of `node src/main.ts`, which comes after it. */
  readonly wrapper?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Where standard error goes; without it `told` knows what was written. */
  readonly stderr?: number;
}

/** A folder, a registry of the distribution protocol, and exporters that watch it; all end with `close`. */
export async function createProcessTest(schedule = '1s') {
  const folder = mkdtempSync(join(tmpdir(), 'exporter-'));
  const simulator: OciSimulator = await startOciSimulator({ store: createStore() });
  const children: ChildProcess[] = [];
  const config = join(folder, 'exporter.yaml');
  const storage = join(folder, 'data');
  const writeConfig = (text?: string) =>
    writeFileSync(
      config,
      text ??
        `registries:\n  - { name: edge, type: oci, endpoint: "${simulator.url}", schedule: ${schedule}, names: [app] }\n`,
    );
  writeConfig();

  function start(args: readonly string[] = [], options: ProcessOptions = {}): ExporterProcess {
    const [command = process.execPath, ...rest] = [
      ...(options.wrapper ?? []),
      process.execPath,
      join(root, 'src/main.ts'),
      `--config.file=${config}`,
      '--web.listen-address=127.0.0.1:0',
      ...args,
    ];
    return watch(
      spawn(command, rest, {
        cwd: root,
        env: { ...process.env, ...options.env },
        stdio: ['ignore', 'ignore', options.stderr ?? 'pipe'],
      }),
    );
  }

  function watch(child: ChildProcess): ExporterProcess {
    children.push(child);
    let told = '';
    child.stderr?.on('data', (data: Buffer) => (told += data.toString()));
    const ended = new Promise<number | string>((resolve) =>
      child.once('close', (code, signal) => resolve(code ?? signal ?? 'nothing')),
    );
    const url = async () => {
      const address = () => / address=(\S+)/.exec(told)?.[1];
      await until(() => address() !== undefined || child.exitCode !== null);
      const found = address();
      if (found === undefined) throw new Error(`the exporter ended: ${told}`);
      return found;
    };
    return {
      child,
      told: () => told,
      url,
      ended,
      async metric(name) {
        const text = await (await fetch(`${await url()}/metrics`)).text();
        const line = text.split('\n').find((one) => new RegExp(`^${name}[{ ]`).test(one));
        return line === undefined ? undefined : Number(line.split(' ').at(-1));
      },
    };
  }

  return {
    folder,
    config,
    storage,
    simulator,
    writeConfig,
    start,
    watch,
    /** Waits for two more polls. */
    async polled() {
      const polls = () => simulator.requests.get('tags') ?? 0;
      const wanted = polls() + 2;
      await until(() => polls() >= wanted);
    },
    async close() {
      for (const child of children) {
        child.kill('SIGKILL');
        try {
          // What it started and left behind, where it leads a group of its own.
          process.kill(-(child.pid ?? 0), 'SIGKILL');
        } catch {}
      }
      await simulator.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Whether a process takes SIGHUP itself, as `main.ts` does after the other signals; of Linux. */
export function takesSignals(pid: number): boolean {
  try {
    const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
    return (BigInt(`0x${mask}`) & 1n) === 1n;
  } catch {
    return false;
  }
}
