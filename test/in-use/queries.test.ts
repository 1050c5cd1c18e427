import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { programs } from '../support/programs.ts';

/** The queries of `docs/in-use.md` over series as kube-state-metrics and kubernetes-mixin have them. */
const page = readFileSync(join(import.meta.dirname, '../../docs/in-use.md'), 'utf8');
const [defaultQuery = '', query = ''] = [...page.matchAll(/```promql\n([\s\S]*?)```/g)].map(
  ([, text = '']) => text,
);
const folder = mkdtempSync(join(tmpdir(), 'workload-query-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const image = 'image="r.io/api:v1",image_spec="r.io/api:v1",image_id="r.io/api@sha256:aa"';
const container = (instance: string, pod: string) =>
  `kube_pod_container_info{instance="${instance}",cluster="p1",namespace="shop",pod="${pod}",container="main",${image}}`;
const owner = (pod: string, workload: string) =>
  `namespace_workload_pod:kube_pod_owner:relabel{cluster="p1",namespace="shop",pod="${pod}",workload="${workload}",workload_type="deployment"}`;
const counted = (workload: string, value: number) => ({
  labels: `{cluster="p1",namespace="shop",${image}${workload === '' ? '' : `,workload="${workload}"`}}`,
  value,
});

const phase = (pod: string, name: string) =>
  `kube_pod_status_phase{cluster="p1",namespace="shop",pod="${pod}",phase="${name}"}`;

describe.skipIf(!programs('promtool'))('the queries', () => {
  const tested = (series: readonly string[], expr: string, exp_samples: readonly object[]) => {
    const file = join(folder, 'test.yaml');
    const input_series = series.map((name) => ({ series: name, values: '1x5' }));
    const promql_expr_test = [{ expr, eval_time: '2m', exp_samples }];
    const tests = [{ interval: '1m', input_series, promql_expr_test }];
    writeFileSync(file, JSON.stringify({ rule_files: [], evaluation_interval: '1m', tests }));
    return execFileSync('promtool', ['test', 'rules', file], { encoding: 'utf8' });
  };
  const containers = [
    ...[container('a', 'api-1'), container('b', 'api-1')],
    ...[container('a', 'api-2'), container('a', 'bare')],
  ];

  test('the default counts each container once, without pods that have ended', () => {
    const phases = [phase('api-1', 'Running'), phase('api-2', 'Succeeded')];
    expect(tested([...containers, ...phases], defaultQuery, [counted('', 2)])).toContain('SUCCESS');
    expect(tested(containers, defaultQuery, [counted('', 3)])).toContain('SUCCESS');
  });

  test('the one that names workloads leaves out pods that have ended', () => {
    const given = [...containers, owner('api-1', 'api'), owner('api-2', 'api'), phase('api-2', 'Failed')];
    expect(tested(given, query, [counted('api', 1), counted('', 1)])).toContain('SUCCESS');
  });

  test('the one that names workloads counts each container once, also where two replicas tell of it, and those without a workload', () => {
    const owners = [owner('api-1', 'api'), owner('api-2', 'api')];
    expect(tested([...containers, ...owners], query, [counted('api', 2), counted('', 1)])).toContain(
      'SUCCESS',
    );
  });

  test('the one that names workloads counts a pod once of which two workloads are told', () => {
    const owners = [owner('api-1', 'api'), owner('api-1', 'other')];
    expect(tested([...containers, ...owners], `sum(${query})`, [{ labels: '{}', value: 3 }])).toContain(
      'SUCCESS',
    );
  });
});
