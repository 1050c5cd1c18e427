import type { Alert } from '../alerts/alert.ts';
import { alertGroups } from '../alerts/index.ts';

/** A JSON schema as the chart needs it. */
export interface ChartSchema {
  readonly properties: Readonly<Record<string, unknown>>;
  readonly $defs: Readonly<Record<string, unknown>>;
  readonly [keyword: string]: unknown;
}

const text = { type: 'string' };
const flag = { type: 'boolean' };
const port = { type: 'integer', minimum: 1, maximum: 65535 };
/** Pieces of Kubernetes' own types: Kubernetes checks them better than a copy of its schema would. */
const kubernetes = { type: 'object' };
const kubernetesList = { type: 'array', items: { type: 'object' } };
const stringMap = { type: 'object', additionalProperties: text };
const optionalDuration = { type: 'string', pattern: '^([0-9]+(ms|[smhdwy]))*$' };
const paths = { type: 'array', minItems: 1, items: { type: 'string', pattern: '^/' } };
const duration = { type: 'string', pattern: '^([0-9]+(ms|[smhdwy]))+$' };

/** An object that refuses keys it does not know: a typing error must not be ignored in silence. */
const object = (properties: Readonly<Record<string, unknown>>, required: readonly string[] = []) => ({
  type: 'object',
  additionalProperties: false,
  ...(required.length > 0 && { required }),
  properties,
});

const allAlerts = [...alertGroups.values()].flatMap(({ alerts }) => alerts);

/** What may be set of one alert. A duration of 0s is none. */
const alertValues = ({ threshold }: Alert) =>
  object({
    enabled: flag,
    severity: { enum: ['critical', 'warning', 'info'] },
    for: duration,
    keepFiringFor: duration,
    labels: stringMap,
    ...(threshold && {
      threshold: { type: 'number', description: `${threshold.of}; default ${threshold.value}` },
    }),
  });

const alertsValues = object(Object.fromEntries(allAlerts.map((alert) => [alert.name, alertValues(alert)])));

/** What `values.yaml` may hold. `config` is replaced by the exporter's own schema where that was generated. */
export const chartValuesSchema: ChartSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Values of the chart container-registry-exporter',
  ...object(
    {
      // Given by helm itself when this chart is a dependency of another one.
      global: {
        type: 'object',
        properties: { imageRegistry: text, imagePullSecrets: { type: 'array' } },
      },
      enabled: flag,
      shards: { type: 'integer', minimum: 1, maximum: 1000 },
      nameOverride: text,
      fullnameOverride: text,
      image: object({
        repository: { type: 'string', minLength: 1 },
        tag: text,
        digest: { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
        pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
        pullSecrets: { type: 'array', items: object({ name: text }, ['name']) },
      }),
      config: {
        type: 'object',
        required: ['registries'],
        properties: { registries: { type: 'array', minItems: 1, items: { type: 'object' } } },
      },
      configSecret: object({ name: text, key: { type: 'string', minLength: 1 } }),
      secrets: {
        type: 'array',
        items: object(
          {
            name: { type: 'string', minLength: 1 },
            mountPath: { type: 'string', pattern: '^/' },
            items: kubernetesList,
            optional: flag,
          },
          ['name', 'mountPath'],
        ),
      },
      extraEnv: {
        type: 'array',
        items: object({ name: { type: 'string', minLength: 1 }, value: text, valueFrom: kubernetes }, [
          'name',
        ]),
      },
      extraEnvFrom: kubernetesList,
      extraArgs: { type: 'array', items: { type: 'string', pattern: '^--' } },
      extraVolumes: kubernetesList,
      extraVolumeMounts: kubernetesList,
      log: object({
        level: { enum: ['debug', 'info', 'warn', 'error'] },
        format: { enum: ['logfmt', 'json'] },
      }),
      telemetryPath: { type: 'string', pattern: '^/' },
      livenessProbe: kubernetes,
      readinessProbe: kubernetes,
      startupProbe: kubernetes,
      lifecycle: kubernetes,
      webConfig: object({ secret: text, key: { type: 'string', minLength: 1 }, tls: flag, auth: flag }),
      storage: object({
        persistent: flag,
        existingClaim: text,
        size: { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$' },
        storageClassName: text,
        accessModes: {
          type: 'array',
          minItems: 1,
          items: { enum: ['ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany'] },
        },
        annotations: stringMap,
      }),
      serviceAccount: object({ create: flag, name: text, annotations: stringMap, automountToken: flag }),
      inUse: object({
        readPods: flag,
        namespaces: { type: 'array', items: { type: 'string', minLength: 1 } },
      }),
      events: object({ port: { type: 'integer', minimum: 0, maximum: 65_535 }, from: kubernetesList }),
      service: object({
        type: { enum: ['ClusterIP', 'NodePort', 'LoadBalancer'] },
        port,
        annotations: stringMap,
        labels: stringMap,
        scrapeAnnotations: flag,
        ipFamilyPolicy: { enum: ['', 'SingleStack', 'PreferDualStack', 'RequireDualStack'] },
        ipFamilies: { type: 'array', items: { enum: ['IPv4', 'IPv6'] } },
      }),
      ingress: object({
        enabled: flag,
        className: text,
        annotations: stringMap,
        hosts: { type: 'array', items: { type: 'string', minLength: 1 } },
        paths,
        tls: kubernetesList,
      }),
      httpRoute: object({
        enabled: flag,
        annotations: stringMap,
        parentRefs: kubernetesList,
        hostnames: { type: 'array', items: text },
        paths,
      }),
      serviceMonitor: object({
        enabled: flag,
        kind: { enum: ['ServiceMonitor', 'PodMonitor', 'ScrapeConfig', 'VMServiceScrape'] },
        annotations: stringMap,
        namespace: text,
        labels: stringMap,
        interval: optionalDuration,
        scrapeTimeout: optionalDuration,
        honorLabels: flag,
        jobName: text,
        stableInstance: flag,
        tlsConfig: kubernetes,
        basicAuth: kubernetes,
        authorization: kubernetes,
        oauth2: kubernetes,
        sampleLimit: { type: 'integer', minimum: 0 },
        bodySizeLimit: text,
        targetLabels: { type: 'array', items: text },
        relabelings: kubernetesList,
        metricRelabelings: kubernetesList,
      }),
      prometheusRule: object({
        enabled: flag,
        kind: { enum: ['PrometheusRule', 'VMRule'] },
        namespace: text,
        labels: stringMap,
        alertLabels: stringMap,
        disabledAlerts: { type: 'array', items: text },
        alerts: alertsValues,
        overrides: {
          type: 'array',
          items: {
            ...object({ registry: text, repository: text, labels: stringMap, alerts: alertsValues }),
            anyOf: [{ required: ['registry'] }, { required: ['repository'] }],
          },
        },
        job: text,
        runbookUrl: text,
        additionalGroups: kubernetesList,
        compat: {
          anyOf: [
            flag,
            { type: 'array', items: { enum: ['aws-ecr', 'aws-exporters-ecr'] }, uniqueItems: true },
          ],
        },
      }),
      dashboards: object({
        enabled: flag,
        kind: { enum: ['ConfigMap', 'GrafanaDashboard'] },
        folder: text,
        // Grafana's uids have 40 characters at most; ours have up to 34.
        uidPrefix: { type: 'string', pattern: '^[a-z0-9-]{0,6}$' },
        instanceSelector: kubernetes,
        datasource: text,
        namespace: text,
        labels: stringMap,
        annotations: stringMap,
      }),
      networkPolicy: object({
        enabled: flag,
        ingressFrom: kubernetesList,
        egressPorts: { type: 'array', items: port },
        egress: kubernetesList,
        ciliumHosts: { type: 'array', items: { type: 'string', minLength: 1 } },
      }),
      resources: kubernetes,
      podAnnotations: stringMap,
      podLabels: stringMap,
      podSecurityContext: kubernetes,
      securityContext: kubernetes,
      deploymentAnnotations: stringMap,
      revisionHistoryLimit: { type: 'integer', minimum: 0 },
      podDisruptionBudget: object({ enabled: flag, maxUnavailable: { type: ['integer', 'string'] } }),
      verticalPodAutoscaler: object({
        enabled: flag,
        updateMode: { enum: ['Off', 'Initial', 'Recreate', 'InPlaceOrRecreate', 'Auto'] },
        minAllowed: kubernetes,
        maxAllowed: kubernetes,
      }),
      dnsPolicy: text,
      dnsConfig: kubernetes,
      hostAliases: kubernetesList,
      topologySpreadConstraints: kubernetesList,
      initContainers: kubernetesList,
      extraContainers: kubernetesList,
      extraObjects: { type: 'array', items: { type: ['object', 'string'] } },
      test: object({ enabled: flag }),
      priorityClassName: text,
      nodeSelector: stringMap,
      tolerations: kubernetesList,
      affinity: kubernetes,
    },
    ['config', 'image'],
  ),
  $defs: {},
} as ChartSchema;
