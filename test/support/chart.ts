import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  PodMonitor,
  PrometheusRule,
  ServiceMonitor,
} from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { ScrapeConfig } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1alpha1';
import { Deployment, StatefulSet } from 'kubernetes-models/apps/v1';
import { Ingress, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import {
  ClusterRole,
  ClusterRoleBinding,
  Role,
  RoleBinding,
} from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount } from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';
import { chartFolder } from '../../scripts/chart-files.ts';
import { helmPath } from '../../scripts/helm.ts';

/** The chart, as the real helm renders it. */
export const chart = join(import.meta.dirname, '..', '..', chartFolder);
const run = promisify(execFile);

export interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: any Kubernetes object; its model validates it
  readonly [key: string]: any;
}

/** The models of all kinds that the chart may render. */
// biome-ignore lint/suspicious/noExplicitAny: each constructor takes its own kind
export const models: Record<string, new (object: any) => { validate(): void }> = {
  ClusterRole,
  ClusterRoleBinding,
  ConfigMap,
  Deployment,
  Ingress,
  NetworkPolicy,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  PrometheusRule,
  Secret,
  Service,
  ServiceAccount,
  ServiceMonitor,
};

/** Models of kinds that stand in place of others. */
export const otherModels = { PodMonitor, Role, RoleBinding, ScrapeConfig, StatefulSet } as const;

/** @throws Error with helm's own message */
export const helm = async (...args: readonly string[]): Promise<string> => {
  const { stdout } = await run(helmPath(), args, { maxBuffer: 64 * 2 ** 20 });
  return stdout;
};

/**
 * What `helm template` makes of a chart. Helm 3 has to make the same of it, and to refuse the same values.
 * @throws Error with the message of helm 4 where it refuses the values
 */
export async function renderChart(
  folder: string,
  args: readonly string[],
  release = 'release',
): Promise<KubernetesObject[]> {
  const all = ['template', release, folder, '--namespace', 'monitoring', ...args];
  const older = run(helmPath(3), all, { maxBuffer: 64 * 2 ** 20 }).then(({ stdout }) => stdout);
  const [four, three] = await Promise.allSettled([helm(...all), older]);
  if (four.status !== three.status) throw new Error(`helm 4 and 3 differ: ${four.status}, ${three.status}`);
  if (four.status === 'rejected') throw four.reason;
  const text = four.value;
  if (three.status === 'fulfilled' && three.value !== text) throw new Error('helm 4 and 3 differ');
  return parseAllDocuments(text).flatMap((document) => {
    // A key that stands twice, for example: Kubernetes refuses it, and a parser alone would not say so.
    const [error] = document.errors;
    if (error) throw error;
    return document.contents ? [document.toJS()] : [];
  });
}

export const render = (...args: readonly string[]) => renderChart(chart, args);

/** The object of a kind of which there is one. */
export function only(objects: readonly KubernetesObject[], kind: string): KubernetesObject {
  const [first, ...others] = objects.filter((object) => object.kind === kind);
  if (!first || others.length > 0)
    throw new Error(`${others.length + (first ? 1 : 0)} objects of kind ${kind}`);
  return first;
}

export const kindsOf = (objects: readonly KubernetesObject[]) =>
  [...new Set(objects.map(({ kind }) => kind))].sort();

export const containerOf = (objects: readonly KubernetesObject[]) =>
  only(objects, 'Deployment')['spec'].template.spec.containers[0];
