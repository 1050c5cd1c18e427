import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { type Cost, costRow, measured, now, prometheus, repositories } from './fleet.ts';
import { conclude, ms, table, target } from './report.ts';

/** `npm run bench:rules -- 100000`: what one evaluation of each group of rules costs in a real Prometheus with a large fleet. */
const folder = join(import.meta.dirname, '..', 'alerts');
interface Group {
  readonly name: string;
  readonly rules: readonly { readonly alert?: string; readonly record?: string; readonly expr: string }[];
}
const groups = readdirSync(folder)
  .filter((name) => name.endsWith('.rules.yaml'))
  .flatMap((name): Group[] => parse(readFileSync(join(folder, name), 'utf8')).groups);

const costs: Cost[] = [];
for (const { name, rules } of groups)
  for (const { alert, record, expr } of rules)
    costs.push(await measured(name, alert ?? record ?? '', 'query', { query: expr, time: String(now) }));
await prometheus.stop();

table('The 15 costliest rules, median of three', [
  ['group', 'rule', 'time', 'CPU of Prometheus', 'answer'],
  ...costs
    .toSorted((a, b) => b.wallMs - a.wallMs)
    .slice(0, 15)
    .map(costRow),
]);
for (const { name } of groups) {
  const all = costs.filter(({ board }) => board === name).reduce((sum, { wallMs }) => sum + wallMs, 0);
  target(`${repositories} repositories: the group ${name} takes ${ms(all)} ≤ 1 s`, all <= 1000);
}
conclude();
