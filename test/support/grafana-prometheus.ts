import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
  startFilledPrometheus([(path) => writeFileSync(path, openMetrics())]);

/**
 * A real Prometheus with a history in OpenMetrics.
 * @param parts each writes a part of it into a file: promtool needs 3 KB of memory for a series, so that a large history
 * is made in several blocks, which Prometheus then joins
 */
export async function startFilledPrometheus(
  parts: readonly ((path: string) => void)[],
): Promise<FilledPrometheus> {
  const dir = tempDir();
  const [history, blocks, config] = ['history.txt', 'data', 'prometheus.yml'].map((name) =>
    join(dir.path, name),
  ) as [string, string, string];
  mkdirSync(blocks);
  for (const write of parts) {
    write(history);
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
  }
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
  // Blocks of one time are joined a minute after the start. Until then each is asked for itself, which costs more.
  while (parts.length > 1 && (await blocksOf(url)) > 1) await sleep(1000);
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

/** How many blocks a Prometheus has loaded, by its own metrics. */
async function blocksOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^prometheus_tsdb_blocks_loaded (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
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
