import { type Pod, startKubernetes } from './simulators/kubernetes.ts';

/**
 * A small cluster for the demo: a simulated API server whose pods run images of the demo's registries, named as their
 * exporter shows them. One that runs has critical findings, one is gone from its registry, and one comes from a registry
 * that nobody watches.
 */
export async function startDemoCluster(metricsUrl: string) {
  const kubernetes = await startKubernetes([]);
  const refresh = () =>
    fetch(metricsUrl)
      .then((response) => response.text())
      .then((text) => kubernetes.pods.splice(0, kubernetes.pods.length, ...podsOf(text)))
      // It has not started yet.
      .catch(() => {});
  const timer = setInterval(refresh, 5_000);
  return {
    source: {
      name: 'demo-cluster',
      type: 'kubernetes',
      address: kubernetes.address,
      auth: { token: 'service-account-token' },
      cluster: 'demo',
      interval: '5s',
    },
    async close() {
      clearInterval(timer);
      await kubernetes.close();
    },
  };
}

/** A line of the exposition. */
interface Line {
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function* linesOf(text: string): Generator<Line> {
  for (const line of text.split('\n')) {
    const [, metric = '', inner = '', value = ''] =
      /^container_registry_(\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
    if (metric === '') continue;
    const labels = Object.fromEntries(
      [...inner.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', text = '']) => [name, text]),
    );
    yield { metric, labels, value: Number(value) };
  }
}

/** What names of a registry's images begin with where they run. */
function hostOf({ provider, host = '', account }: Line['labels']): string {
  if (provider === 'docker_hub') return 'docker.io';
  return provider === 'artifact_registry' ? `${host}/${account}` : host;
}

const pod = (namespace: string, name: string, tag: string, digest: string): Pod => ({
  namespace,
  hash: '6d4cf56db6',
  owner: { kind: 'ReplicaSet', name: `${name.slice(name.lastIndexOf('/') + 1)}-6d4cf56db6` },
  containers: [{ image: `${name}:${tag}`, imageID: `${name}@${digest}` }],
});

/** Two images of each registry, those with critical findings first; and what is wrong besides. */
function podsOf(text: string): Pod[] {
  const lines = [...linesOf(text)];
  const critical = new Set(
    lines
      .filter(
        ({ metric, labels, value }) =>
          metric === 'image_findings' && labels['severity'] === 'CRITICAL' && value > 0,
      )
      .map(({ labels }) => labels['digest']),
  );
  return lines
    .filter(({ metric }) => metric === 'info')
    .flatMap(({ labels: info }) => {
      const host = hostOf(info);
      const images = lines
        .filter(
          ({ metric, labels }) =>
            metric === 'image_pushed_timestamp_seconds' && labels['registry'] === info['registry'],
        )
        .map(({ labels }) => labels)
        .sort((a, b) => Number(critical.has(b['digest'])) - Number(critical.has(a['digest'])));
      const [first, second] = images;
      const pods = [first, second].flatMap((image) =>
        image
          ? [pod('shop', `${host}/${image['repository']}`, image['tag'] ?? '', image['digest'] ?? '')]
          : [],
      );
      // Harbor lists all that it has: a digest that is not among it is gone.
      if (first && info['provider'] === 'harbor')
        pods.push(pod('shop', `${host}/${first['repository']}`, 'gone', `sha256:${'d'.repeat(64)}`));
      if (info['provider'] === 'oci')
        pods.push(pod('tools', 'quay.io/somebody/tool', 'latest', `sha256:${'e'.repeat(64)}`));
      return pods;
    });
}
