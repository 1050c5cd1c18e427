import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { dashboards } from '../grafana/index.ts';
import { colours, namedColours } from '../grafana/look.ts';
import { uids } from '../grafana/shared.ts';
import { allLabels, metrics } from '../src/metrics.ts';
import { createSelfMetrics } from '../src/self-metrics.ts';
import { asRead, drawnPanels, withEverything } from './support/dashboards.ts';
import { tempDir } from './support/programs.ts';
import { parses, queryMetrics } from './support/promql.ts';

/** What holds for every board, whatever it shows. What a person reads on them is in `dashboards-read.test.ts`. */
const root = join(import.meta.dirname, '..');

/** What Prometheus and its operator add to each series. */
const targetLabels = ['cluster', 'namespace', 'job', 'instance'];
const labelsOf = new Map<string, readonly string[]>([
  ...metrics.flatMap((row) =>
    row.type === 'histogram'
      ? ['_bucket', '_sum', '_count'].map(
          (suffix) => [`${row.name}${suffix}`, [...allLabels(row), 'le', ...targetLabels]] as const,
        )
      : [[row.name, [...allLabels(row), ...targetLabels]] as const],
  ),
  // Of prom-client, and of Prometheus itself.
  ...(await createSelfMetrics({ version: '', revision: '' }).registry.getMetricsAsJSON())
    .filter(({ name }) => /^(process|nodejs)_/.test(name))
    .map(({ name }) => [name, targetLabels] as const),
  ...['up', 'scrape_duration_seconds', 'scrape_samples_scraped'].map((name) => [name, targetLabels] as const),
  ['ALERTS', [...targetLabels, 'alertname', 'alertstate', 'severity', 'registry']],
]);

describe.each([...dashboards].map(([name, json]) => [name, asRead(json)] as const))(
  '%s',
  (_name, dashboard) => {
    const panels = drawnPanels(dashboard);
    const variables = dashboard.templating.list;
    const targets = panels.flatMap((panel) => (panel.targets ?? []).map((target) => ({ panel, ...target })));

    test('begins with the exporter itself, and lists the alerts of this bundle that fire', () => {
      expect(panels[0]?.title).toBe('Exporter');
      expect(panels[0]?.targets?.[0]?.expr).toMatch(/^min by \(cluster, namespace, job\) \(up\{/);
      expect(panels.find(({ title }) => title === 'Firing alerts')).toBeDefined();
    });

    test('every panel has an id and a title of its own, a description and a query', () => {
      const titles = panels.map(({ title }) => title);
      expect(titles).toEqual([...new Set(titles)]);
      const ids = dashboard.panels.flatMap((panel) => [
        panel.id,
        ...(panel.panels ?? []).map(({ id }) => id),
      ]);
      expect(ids).toEqual([...new Set(ids)]);
      for (const { title, description, targets: own } of panels) {
        expect(description, title).toMatch(/^[A-Z].*[.:]?$/);
        expect(own?.length, title).toBeGreaterThan(0);
      }
    });

    test.each(
      targets.map(({ panel, refId, expr }) => [`${panel.title} ${refId}`, withEverything(expr)] as const),
    )('%s asks for metrics and labels that there are', (_title, query) => {
      expect(parses(query), query).toBe(true);
      const queried = queryMetrics(query);
      expect(queried.length).toBeGreaterThan(0);
      for (const { metric, labels } of queried) {
        expect([...labelsOf.keys()]).toContain(metric);
        for (const label of labels) expect(labelsOf.get(metric), metric).toContain(label);
      }
    });

    test('panels do not overlap and fit into the grid of 24 columns, those of each collapsed row for themselves', () => {
      const drawn = dashboard.panels
        .map((panel) => panel.panels ?? [])
        .concat([dashboard.panels.filter(({ type }) => type !== 'row')]);
      for (const group of drawn) {
        const taken = new Set<string>();
        for (const { title, gridPos } of group)
          for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
            for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
              expect(x, title).toBeLessThan(24);
              expect(taken.has(`${x} ${y}`), `${title} lies on another panel`).toBe(false);
              taken.add(`${x} ${y}`);
            }
      }
    });

    test('state is asked by queries of now, and only lines over time', () => {
      for (const { panel, instant, range } of targets)
        expect({ instant, range }, panel.title).toEqual({
          instant: panel.type !== 'timeseries',
          range: panel.type === 'timeseries',
        });
    });

    test('every graph shows its legend; every number and cell says when it is not known', () => {
      for (const panel of panels) {
        if (panel.type === 'timeseries') expect(panel.options?.legend?.showLegend, panel.title).toBe(true);
        else
          expect(JSON.stringify(panel.fieldConfig?.defaults.mappings), panel.title).toContain(
            '"match":"null+nan"',
          );
        if (panel.type === 'table') expect(panel.fieldConfig?.defaults.noValue, panel.title).toBeTruthy();
      }
    });

    test('what there can be many of is bounded', () => {
      // Of one repository there are as many images as the configuration shows one by one; of one registry as many parts as
      // the exporter lets it have.
      for (const { panel, expr } of targets)
        if (/by \([^)]*\b(repository|tag|digest|project)\b/.test(expr))
          expect(expr, panel.title).toMatch(/topk|bottomk|\$\{\w+:pipe\}|^(count|sum|min|max)\(/);
      for (const { panel, expr, legendFormat } of targets)
        if (panel.type === 'timeseries' && /\{\{(registry|operation|watch)\}\}/.test(legendFormat ?? ''))
          expect(expr, panel.title).toMatch(/^(topk|bottomk)\(/);
    });

    test('each visible variable is used by a panel, and each variable that a panel uses is there', () => {
      const text = JSON.stringify(dashboard.panels);
      for (const { name, type, hide } of variables)
        if (type !== 'datasource' && hide !== 2) expect(text, name).toContain(`=~\\"$${name}\\"`);
      const names = variables.map(({ name }) => name);
      for (const [, name] of text.matchAll(/\$\{?(\w+)(?=:pipe|["\\|])/g)) expect(names).toContain(name);
    });

    test('links lead to boards and variables that there are', () => {
      const boards = new Map([...dashboards.values()].map((json) => [asRead(json).uid, asRead(json)]));
      for (const [, uid = '', query = ''] of JSON.stringify(dashboard).matchAll(
        /"\/d\/([\w-]+)\?([^"]*)"/g,
      )) {
        const there = boards.get(uid)?.templating.list.map(({ name }) => name) ?? [];
        expect(there.length, uid).toBeGreaterThan(0);
        for (const [, name] of query.matchAll(/var-(\w+)=/g)) expect(there, uid).toContain(name);
      }
    });

    test('colours are those that mean something', () => {
      const allowed = new Set([...Object.values(colours), ...Object.values(namedColours)]);
      const used = [...JSON.stringify(dashboard).matchAll(/"(?:color|fixedColor|iconColor)":"([^"]+)"/g)].map(
        ([, colour]) => colour,
      );
      for (const colour of used) expect([...allowed]).toContain(colour);
    });

    /** https://github.com/grafana/dashboard-linter/blob/main/docs/index.md */
    describe("the rules of Grafana's dashboard linter", () => {
      const variable = (name: string) => variables.find((one) => one.name === name);

      test('template-datasource-rule', () => {
        expect(variables.filter(({ type }) => type === 'datasource')).toMatchObject([
          { name: 'datasource', query: 'prometheus', label: 'Data source' },
        ]);
      });

      test('template-job-rule; no rule of instances, since an exporter has a new one with each pod', () => {
        expect(variable('job')).toMatchObject({
          label: 'Job',
          type: 'query',
          multi: true,
          includeAll: true,
          allValue: '.+',
        });
        // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own syntax of a variable
        expect(variable('job')?.datasource).toEqual({ type: 'prometheus', uid: '${datasource}' });
      });

      test('template-label-promql-rule and template-on-time-change-reload-rule', () => {
        for (const { query, refresh } of variables) {
          if (typeof query === 'string') continue;
          const expr = /^(?:label_values|query_result)\((.+?)(?:, \w+)?\)$/s.exec(query.query)?.[1] ?? '';
          expect(parses(withEverything(expr)), query.query).toBe(true);
          expect(refresh).toBe(2);
        }
      });

      test('panel-datasource-rule', () => {
        // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own syntax of a variable
        const own = { type: 'prometheus', uid: '${datasource}' };
        for (const { datasource, title } of panels) expect(datasource, title).toEqual(own);
        for (const { datasource, panel } of targets) expect(datasource, panel.title).toEqual(own);
      });

      test('panel-title-description-rule, panel-units-rule and panel-no-targets-rule', () => {
        for (const { title, description, fieldConfig, targets: own } of panels) {
          expect(title && description && own?.length, title).toBeTruthy();
          expect(fieldConfig?.defaults.unit, title).toBeTruthy();
        }
      });

      test('target-job-rule: each selector has the job, but that of alerts, which have that of their expression', () => {
        for (const { expr, panel } of targets)
          for (const [selector] of expr.matchAll(/\w+\{[^}]*\}/g))
            if (!selector.startsWith('ALERTS')) expect(selector, panel.title).toContain('job=~"$job"');
      });

      test('target-rate-interval-rule and target-counter-agg-rule', () => {
        const counters = metrics.filter(({ type }) => type === 'counter').map(({ name }) => name);
        // A series that was not there at the beginning of the time began at 0: it is what it counted since.
        const begunMeanwhile =
          /\(\((\w+\{[^}]*\}) unless \1 offset \w+\) and on \([^)]*\) \(\w+_info\{[^}]*\} offset \w+\)\) or /g;
        for (const { expr: whole, panel } of targets) {
          const expr = whole.replace(begunMeanwhile, '');
          if (panel.type === 'timeseries')
            for (const [, range] of expr.matchAll(/rate\(.*?\[([^\]]+)\]/gs))
              expect(range, panel.title).toBe('$__rate_interval');
          // That there are counters at all says that events arrive: 0 times their sum.
          for (const counter of counters)
            for (const { index } of expr.matchAll(new RegExp(`${counter}\\{`, 'g')))
              expect(expr.slice(0, index), `${panel.title}: ${counter}`).toMatch(
                /(rate|increase)\($|0 \* sum\($/,
              );
        }
      });

      test('uneditable-dashboard-rule', () => {
        expect(dashboard.editable).toBe(false);
      });
    });
  },
);

test('the uids stay what they are: bookmarks and links hold them', () => {
  expect([...dashboards.values()].map((json) => asRead(json).uid)).toEqual(Object.values(uids));
  expect(uids).toEqual({
    fleet: 'container-registry-fleet',
    registry: 'container-registry-registry',
    repository: 'container-registry-repository',
    vulnerabilities: 'container-registry-vulnerabilities',
    inUse: 'container-registry-in-use',
    pushes: 'container-registry-pushes',
    capacity: 'container-registry-capacity',
    exporter: 'container-registry-exporter',
  });
});

test('Fleet is one screen: 24 rows of the grid, nothing collapsed', () => {
  const fleet = dashboards.get('fleet.json');
  const panels = fleet ? asRead(fleet).panels : [];
  expect(Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h))).toBe(24);
  expect(panels.filter(({ type }) => type === 'row')).toEqual([]);
});

test('the three panels of the original request are there under their names', () => {
  const titles = [...dashboards.values()].flatMap((json) =>
    drawnPanels(asRead(json)).map(({ title }) => title),
  );
  expect(titles).toEqual(
    expect.arrayContaining(['Images by Repository', 'Images with Vulnerabilities', 'Registry Storage']),
  );
});

test('each board has a picture, small enough for a page of documentation', () => {
  const text = readFileSync(join(root, 'docs/dashboards.md'), 'utf8');
  for (const file of dashboards.keys()) {
    const picture = `pictures/${file.replace('.json', '.png')}`;
    expect(statSync(join(root, 'docs', picture)).size, 'npm run pictures').toBeLessThan(150 * 1024);
    expect(text).toContain(`(${picture})`);
  }
});

test("dashboards are what Grafana's schema says", () => {
  const dir = tempDir();
  const composable = '@grafana/schema/dist/esm/raw/composable';
  const options = { stat: 'Stat', table: 'Table', timeseries: 'TimeSeries' } as const;
  // Its types name values by enums; in JSON they are plain. A property that a type does not have is an error.
  const lines = [
    `import type { Dashboard, Panel } from '@grafana/schema';`,
    ...Object.entries(options).map(
      ([type, name]) =>
        `import type { Options as ${type} } from '${composable}/${type}/panelcfg/x/${name}PanelCfg_types.gen';`,
    ),
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a type of TypeScript
    'type Plain<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T : T extends readonly (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;',
  ];
  let index = 0;
  for (const json of dashboards.values()) {
    const dashboard = asRead(json);
    index += 1;
    // What the data source wants of an annotation is no part of this schema.
    const ofSource = {
      target: undefined,
      useValueForTime: undefined,
      titleFormat: undefined,
      textFormat: undefined,
    };
    const list = dashboard.annotations.list.map((one) => ({ ...one, ...ofSource }));
    const frame = { ...dashboard, panels: [], annotations: { list } };
    lines.push(`export const dashboard${index}: Plain<Dashboard> = ${JSON.stringify(frame)};`);
    for (const panel of drawnPanels(dashboard)) {
      lines.push(`export const panel${index}_${panel.id}: Plain<Panel> = ${JSON.stringify(panel)};`);
      lines.push(
        `export const options${index}_${panel.id}: Plain<Partial<${panel.type}>> = ${JSON.stringify(panel.options)};`,
      );
    }
  }
  mkdirSync(join(dir.path, 'src'));
  symlinkSync(join(root, 'node_modules'), join(dir.path, 'node_modules'));
  writeFileSync(join(dir.path, 'package.json'), '{"type":"module"}');
  writeFileSync(join(dir.path, 'src', 'boards.ts'), lines.join('\n'));
  const compile = () =>
    execFileSync(
      process.execPath,
      [
        join(root, 'node_modules/typescript/bin/tsc'),
        '--ignoreConfig',
        '--noEmit',
        '--strict',
        '--skipLibCheck',
        '--target',
        'es2024',
        '--module',
        'nodenext',
        '--types',
        '',
        'src/boards.ts',
      ],
      { cwd: dir.path, encoding: 'utf8' },
    );
  try {
    expect(compile()).toBe('');
  } catch (error) {
    expect((error as { stdout?: string }).stdout ?? String(error)).toBe('');
  } finally {
    dir.remove();
  }
});
