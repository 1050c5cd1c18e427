import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dashboards } from '../grafana/index.ts';
import { asRead } from './support/dashboards.ts';
import { type ReadPanel, readBoard } from './support/grafana.ts';
import { scrapeInterval, situations } from './support/grafana-fleet.ts';
import { openMetrics } from './support/grafana-history.ts';
import { type FilledPrometheus, startFilledPrometheus } from './support/grafana-prometheus.ts';
import { programs } from './support/programs.ts';

/** What a person reads on the boards who has just installed them, or whose registries tell of little. */
const to = situations.healthy;

interface Line {
  readonly name: string;
  readonly labels: string;
  readonly value: string;
  readonly time: number;
}

/** What is kept of the made-up fleet until now, with values that may be others. */
function historyOf(keep: (line: Line) => string | undefined): string {
  const families = new Map<string, string[]>();
  for (const [, name = '', labels = '', value = '', at] of openMetrics().matchAll(
    /^(\w+)\{(.*)\} (\S+) (\d+)$/gm,
  )) {
    const time = Number(at);
    const kept = time <= to ? keep({ name, labels, value, time }) : undefined;
    if (kept === undefined) continue;
    const family = families.get(name) ?? [];
    families.set(name, family);
    family.push(`${name}{${labels}} ${kept} ${time}`);
  }
  return `${[...families].map(([name, all]) => `# TYPE ${name} unknown\n${all.join('\n')}\n`).join('')}# EOF\n`;
}

/** What any registry that speaks the protocol tells. */
const protocol =
  /^(up|container_registry_(info|up|last_\w+|poll\w+|stale_after_seconds|failed_\w+|capability_up|repositories|series_dropped|repository_(images|tags|size_bytes)|exporter_\w+))$/;
const ofOthers = /registry="(?!edge")/;

const estates = {
  'registries of the protocol alone': ({ name, labels, value }: Line) =>
    protocol.test(name) && !ofOthers.test(labels) ? value : undefined,
  'a registry whose findings cannot be read': ({ name, labels, value }: Line) => {
    if (!protocol.test(name) || ofOthers.test(labels)) return undefined;
    return labels.includes('capability="findings"') ? '0' : value;
  },
  'an exporter that began to run four minutes ago': ({ time, value }: Line) =>
    time >= to - scrapeInterval ? value : undefined,
} as const;

describe.skipIf(!programs('prometheus', 'promtool'))('what a person reads', () => {
  const sources = new Map<string, FilledPrometheus>();
  beforeAll(async () => {
    for (const [estate, keep] of Object.entries(estates)) {
      const history = historyOf(keep);
      sources.set(estate, await startFilledPrometheus([(path) => writeFileSync(path, history)]));
    }
  });
  afterAll(() => Promise.all([...sources.values()].map((source) => source.stop())));

  async function panel(
    estate: keyof typeof estates,
    board: string,
    title: string,
  ): Promise<ReadPanel['read']> {
    const [json, source] = [dashboards.get(`${board}.json`), sources.get(estate)];
    if (!json || !source) throw new Error(`no board ${board} of ${estate}`);
    const span = { from: to - 24 * 3600, to };
    const choose: Record<string, string> = board === 'registry' ? { registry: 'edge' } : {};
    const all = await readBoard(asRead(json), { source, span, scrapeInterval }, choose);
    const found = all.find((one) => one.panel.title === title);
    if (!found) throw new Error(`no panel ${title} on ${board}`);
    return found.read;
  }
  async function stat(estate: keyof typeof estates, board: string, title: string): Promise<string> {
    const read = await panel(estate, board, title);
    if (read.kind !== 'stat') throw new Error(`${title} is no stat`);
    return read.values.map(({ name, text, colour }) => `${name ?? ''} ${text} (${colour})`.trim()).join(', ');
  }

  test.each([
    ['fleet', 'Critical findings'],
    ['fleet', 'Images not scanned'],
    ['fleet', 'Failed pushes, last day'],
    ['fleet', 'Fullest quota'],
    ['fleet', 'Credential expires in'],
    ['fleet', 'Replications that fail'],
    ['fleet', 'Components and tasks that fail'],
    ['vulnerabilities', 'Affected repositories'],
    ['capacity', 'Pulls left'],
  ])('%s, %s: what no registry tells of is not told, and no trouble', async (board, title) => {
    expect(await stat('registries of the protocol alone', board, title)).toMatch(/Not told \(blue\)/);
    expect(await stat('a registry whose findings cannot be read', board, title)).toMatch(
      /No data \(purple\)/,
    );
  });

  test('no poll that failed has no reason', async () => {
    const read = await stat('registries of the protocol alone', 'registry', 'Failed polls, last hour');
    expect(read).toBe('none 0 (green)');
  });

  test('two samples are no trend', async () => {
    const estate = 'an exporter that began to run four minutes ago';
    expect(await stat(estate, 'capacity', 'Next quota to be full')).toMatch(/Too early \(blue\)/);
    const read = await panel(estate, 'capacity', 'Storage quotas');
    if (read.kind !== 'table') throw new Error('it is no table');
    const at = read.columns.indexOf('Full in');
    expect(read.rows.map((row) => row[at]?.text)).toEqual(['Too early', 'Too early', 'Too early']);
  });
});
