import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dashboards } from '../grafana/index.ts';
import { startBrowser } from '../test/support/browser.ts';
import { asRead, type DashboardJson } from '../test/support/dashboards.ts';
import { readBoard } from '../test/support/grafana.ts';
import { type Situation, scrapeInterval, situations } from '../test/support/grafana-fleet.ts';
import { startFleetPrometheus } from '../test/support/grafana-prometheus.ts';
import { tempDir } from '../test/support/programs.ts';
import { boardPage } from './dashboard-picture.ts';
import { withPalette } from './png.ts';

/** `npm run pictures`: draws each board into docs/pictures, with prometheus, promtool and chromium. */
const folder = join(import.meta.dirname, '..', 'docs', 'pictures');

interface Picture {
  readonly file: string;
  readonly board: string;
  readonly situation: Situation;
  readonly choose?: Readonly<Record<string, string>>;
}
const pictures: readonly Picture[] = [
  { file: 'fleet', board: 'fleet', situation: 'registryDown' },
  { file: 'fleet-exporter-down', board: 'fleet', situation: 'exporterDead' },
  { file: 'registry', board: 'registry', situation: 'registryDown', choose: { registry: 'harbor-eu' } },
  {
    file: 'repository',
    board: 'repository',
    situation: 'healthy',
    choose: { registry: 'harbor-eu', repository: 'mobile/api' },
  },
  { file: 'vulnerabilities', board: 'vulnerabilities', situation: 'healthy' },
  { file: 'in-use', board: 'in-use', situation: 'healthy' },
  { file: 'pushes', board: 'pushes', situation: 'healthy' },
  { file: 'capacity', board: 'capacity', situation: 'healthy' },
  { file: 'exporter', board: 'exporter', situation: 'healthy' },
];

/** What the board's variables say above the panels. */
function chosenValues(board: DashboardJson, choose: Readonly<Record<string, string>>): Map<string, string> {
  const visible = board.templating.list.filter(({ hide }) => hide !== 2);
  return new Map(
    visible.map(({ name, label = name, type, current }) => {
      const value = [current?.value ?? ''].flat().join(' + ').replace('$__all', 'All');
      return [label, choose[name] ?? (type === 'datasource' ? 'Prometheus' : value)];
    }),
  );
}

const only = process.argv.slice(2);
const source = await startFleetPrometheus();
const browser = await startBrowser();
const dir = tempDir();
mkdirSync(folder, { recursive: true });
try {
  for (const { file, board: name, situation, choose = {} } of pictures) {
    const json = dashboards.get(`${name}.json`);
    if (!json || (only.length > 0 && !only.includes(file))) continue;
    const board = asRead(json);
    const to = situations[situation];
    const span = { from: to - 24 * 3600, to };
    const read = await readBoard(board, { source, span, scrapeInterval }, choose);
    const html = join(dir.path, `${file}.html`);
    writeFileSync(html, boardPage(board, read, chosenValues(board, choose), span));
    const page = await browser.page({ width: 1440 });
    await page.open(`file://${html}`);
    const png = withPalette(await page.screenshot());
    writeFileSync(join(folder, `${file}.png`), png);
    console.log(`docs/pictures/${file}.png ${Math.round(png.length / 1024)} KB`);
  }
} finally {
  await browser.close();
  await source.stop();
  dir.remove();
}
