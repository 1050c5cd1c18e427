import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openMetrics } from './grafana-history.ts';
import { freePort, startProgram, tempDir } from './programs.ts';

/** A data source as the boards ask it. */
export interface DataSource {
  /** The answer of an endpoint below `/api/v1/`, with its size and time. */
  ask(endpoint: string, query: Readonly<Record<string, string>>): Promise<unknown>;
}

/** A Prometheus that was filled with a history. */
export interface FilledPrometheus extends DataSource {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A real Prometheus that has the history of the made-up fleet. */
export const startFleetPrometheus = (): Promise<FilledPrometheus> =>
  startFilledPrometheus((path) => writeFileSync(path, openMetrics()));

/** A real Prometheus with a history in OpenMetrics, which `write` puts into a file. */
export async function startFilledPrometheus(write: (path: string) => void): Promise<FilledPrometheus> {
  const dir = tempDir();
  const [history, blocks, config] = ['history.txt', 'data', 'prometheus.yml'].map((name) =>
    join(dir.path, name),
  ) as [string, string, string];
  write(history);
  mkdirSync(blocks);
  execFileSync('promtool', [
    'tsdb',
    'create-blocks-from',
    'openmetrics',
    '--quiet',
    // One block of a week: by default promtool reads the file once for every two hours.
    '--max-block-duration=168h',
    history,
    blocks,
  ]);
  rmSync(history);
  writeFileSync(config, '{}');
  const port = await freePort();
  const prometheus = await startProgram(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${blocks}`,
      '--storage.tsdb.retention.time=100y',
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { waitFor: /Server is ready/, timeoutMs: 120_000 },
  );
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    pid: prometheus.process.pid ?? 0,
    ask: (endpoint, query) => askPrometheus(url, endpoint, query),
    async stop() {
      await prometheus.stop();
      dir.remove();
    },
  };
}

/** Asks Prometheus; what it refuses is an error with its own words. */
async function askPrometheus(
  url: string,
  endpoint: string,
  query: Readonly<Record<string, string>>,
): Promise<unknown> {
  const answer = await fetch(`${url}/api/v1/${endpoint}?${new URLSearchParams(query)}`);
  const { status, error, data } = (await answer.json()) as { status: string; error?: string; data?: unknown };
  if (status !== 'success') throw new Error(`${error}\n${query['query'] ?? endpoint}`);
  return data;
}
