import { dashboards } from '../grafana/index.ts';
import { asRead, drawnPanels } from '../test/support/dashboards.ts';
import { queriesOf } from '../test/support/grafana.ts';
import { scrapeInterval } from '../test/support/grafana-fleet.ts';
import { variablesOf } from '../test/support/grafana-variables.ts';
import { type Cost, costRow, measured, prometheus } from './filled.ts';
import { now, repositories, totalsOf } from './fleet.ts';
import { conclude, ms, table, target } from './report.ts';

/** `npm run bench:dashboards -- 100000`: what each query of the boards costs in a real Prometheus with a large fleet. */
const hour = 3600;
const span = { from: now - 24 * hour, to: now };
const costs: Cost[] = [];
for (const [name, json] of dashboards) {
  const board = asRead(json);
  // As its first registry and repository, of all that there are.
  const choose: Record<string, string> =
    name === 'repository.json' ? { registry: 'registry-7', repository: totalsOf(7).repository } : {};
  // Queries of variables cost like those of panels.
  const source = {
    ask: async (endpoint: string, query: Readonly<Record<string, string>>) => {
      costs.push(await measured(name, 'a variable', endpoint, query));
      return prometheus.ask(endpoint, query);
    },
  };
  const variables = await variablesOf(source, board.templating.list, span, choose);
  for (const panel of drawnPanels(board))
    for (const { target: one, step, query } of queriesOf(panel, variables, { span, scrapeInterval })) {
      const range = {
        query,
        start: String(Math.floor(span.from / step) * step),
        end: String(span.to),
        step: String(step),
      };
      const ask = one.instant
        ? measured(name, `${panel.title} ${one.refId}`, 'query', { query, time: String(now) })
        : measured(name, `${panel.title} ${one.refId}`, 'query_range', range);
      costs.push(await ask);
    }
}
await prometheus.stop();

table('The 25 costliest queries, median of three', [
  ['board', 'query', 'time', 'CPU of Prometheus', 'answer'],
  ...costs
    .toSorted((a, b) => b.cpuMs - a.cpuMs)
    .slice(0, 25)
    .map(costRow),
]);
table('A refresh of a board, collapsed rows open', [
  ['board', 'queries', 'time', 'CPU of Prometheus', 'answers'],
  ...[...dashboards.keys()].map((name) => {
    const own = costs.filter(({ board }) => board === name);
    const total = (of: (cost: Cost) => number) => own.reduce((all, cost) => all + of(cost), 0);
    return [
      name,
      String(own.length),
      ms(total(({ wallMs }) => wallMs)),
      ms(total(({ cpuMs }) => cpuMs)),
      `${(total(({ bytes }) => bytes) / 1000).toFixed(0)} KB`,
    ];
  }),
]);
const slowest = Math.max(...costs.map(({ wallMs }) => wallMs));
const largest = Math.max(...costs.map(({ bytes }) => bytes));
target(`${repositories} repositories: the slowest query ${ms(slowest)} ≤ 1 s`, slowest <= 1000);
target(
  `${repositories} repositories: the largest answer ${(largest / 1000).toFixed(0)} KB ≤ 1 MB`,
  largest <= 1_000_000,
);
conclude();
