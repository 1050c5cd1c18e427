import { describe, expect, test } from 'vitest';
import { dashboards } from '../grafana/index.ts';
import { allLabels, metrics } from '../src/metrics.ts';
import { dashboardPanels, dashboardVariables } from './support/dashboards.ts';
import { parses, queryMetrics } from './support/promql.ts';

const labelsOf = new Map(
  metrics.flatMap((row) =>
    row.type === 'histogram'
      ? ['_bucket', '_sum', '_count'].map(
          (suffix) => [`${row.name}${suffix}`, [...allLabels(row), 'le']] as const,
        )
      : [[row.name, allLabels(row)] as const],
  ),
);

describe.each([...dashboards])('%s', (_name, dashboard) => {
  const panels = dashboardPanels(dashboard);

  test('every panel has an id and a title of its own, a description and a query', () => {
    const titles = panels.map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { title, description, queries } of panels) {
      expect(description, title).toBeTruthy();
      expect(queries.length, title).toBeGreaterThan(0);
    }
  });

  test.each(panels.flatMap(({ title, queries }) => queries.map((query) => [title, query] as const)))(
    '%s asks for metrics and labels of the table',
    (_title, query) => {
      expect(parses(query), query).toBe(true);
      const queried = queryMetrics(query);
      expect(queried.length).toBeGreaterThan(0);
      for (const { metric, labels } of queried) {
        expect([...labelsOf.keys()]).toContain(metric);
        for (const label of labels) expect(labelsOf.get(metric), metric).toContain(label);
      }
    },
  );

  test('panels do not overlap and fit into the grid of 24 columns', () => {
    const taken = new Set<string>();
    for (const { title, position } of panels)
      for (let x = position.x; x < position.x + position.w; x++)
        for (let y = position.y; y < position.y + position.h; y++) {
          expect(x, title).toBeLessThan(24);
          expect(taken.has(`${x} ${y}`), `${title} lies on another panel`).toBe(false);
          taken.add(`${x} ${y}`);
        }
  });

  test('data source, registry and repository can be chosen', () => {
    expect(dashboardVariables(dashboard)).toEqual(['datasource', 'registry', 'repository']);
  });
});

test('dashboards have unique ids and titles', () => {
  const all = [...dashboards.values()];
  expect(new Set(all.map(({ uid }) => uid)).size).toBe(all.length);
  expect(new Set(all.map(({ title }) => title)).size).toBe(all.length);
});

test('the three panels of the original request are there under their names', () => {
  const titles = [...dashboards.values()].flatMap((dashboard) =>
    dashboardPanels(dashboard).map(({ title }) => title),
  );
  expect(titles).toEqual(
    expect.arrayContaining(['Images by Repository', 'Images with Vulnerabilities', 'Registry Storage']),
  );
});
