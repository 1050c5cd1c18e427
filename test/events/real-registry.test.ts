import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseExposition } from '../support/exposition-text.ts';
import { image, layer, writeOciLayout } from '../support/oci-image.ts';
import { eventually, freePort, programs, type RunningProgram, tempDir } from '../support/programs.ts';
import { startDistribution, startExporter } from '../support/real-programs.ts';

/** The real distribution registry tells of real pushes, as docs/events.md has it configured. */
describe.skipIf(!programs('docker-registry', 'skopeo'))('pushes to a real registry', () => {
  const folder = tempDir();
  const running: RunningProgram[] = [];
  const token = 'a-token-for-notifications';
  let ports: { registry: number; exporter: number };

  beforeAll(async () => {
    ports = { registry: await freePort(), exporter: await freePort() };
    const config = join(folder.path, 'exporter.yaml');
    // An hour between polls: what is seen sooner, an event has told.
    writeFileSync(
      config,
      `registries:
  - name: edge
    type: oci
    schedule: 1h
    endpoint: http://127.0.0.1:${ports.registry}
    repositories: { exclude: ["cache/**"] }
    events: { token: ${token} }
`,
    );
    const url = `http://127.0.0.1:${ports.exporter}/events/edge`;
    const registry = join(folder.path, 'registry');
    running.push(
      await startDistribution({ folder: registry, port: ports.registry, notify: { url, token } }),
      await startExporter({ config, port: ports.exporter, storage: join(folder.path, 'storage') }),
    );
    await eventually(async () => {
      const ready = await fetch(`http://127.0.0.1:${ports.exporter}/-/ready`);
      expect(ready.status).toBe(200);
    });
  });
  afterAll(async () => {
    await Promise.all(running.map((one) => one.stop()));
    folder.remove();
  });

  function push(repository: string, tag: string, seed: string): void {
    const layout = join(folder.path, `layout-${seed}`);
    writeOciLayout(layout, image({ layers: [layer(seed)], created: 1_750_000_000 }), tag);
    const to = `docker://127.0.0.1:${ports.registry}/${repository}:${tag}`;
    const flags = ['--insecure-policy', '--dest-tls-verify=false'];
    execFileSync('skopeo', ['copy', ...flags, `oci:${layout}:${tag}`, to], { stdio: 'pipe' });
  }

  /** `repository value` of a family. */
  async function scrape(family: string): Promise<string[]> {
    const text = await (await fetch(`http://127.0.0.1:${ports.exporter}/metrics`)).text();
    return parseExposition(text)
      .filter(({ name }) => name === `container_registry_${family}`)
      .map(({ labels, value }) => `${labels['repository'] ?? labels['outcome']} ${value}`);
  }
  /** Of pushes what was counted: counters begin at 0. */
  const pushes = async () => (await scrape('pushes_total')).filter((line) => !line.endsWith(' 0'));

  test('each counts once, and the repository is looked at though its poll is an hour away', async () => {
    push('team/app', 'v1', 'one');
    await eventually(async () => expect(await pushes()).toEqual(['team/app 1']));
    await eventually(async () => expect(await scrape('repository_tags')).toEqual(['team/app 1']));
    push('team/app', 'v2', 'two');
    await eventually(async () => expect(await pushes()).toEqual(['team/app 2']));
    await eventually(async () => expect(await scrape('repository_tags')).toEqual(['team/app 2']));
  });

  test('a repository that is not wanted is neither counted nor looked at', async () => {
    push('cache/alpine', 'v1', 'three');
    push('team/other', 'v1', 'four');
    await eventually(async () => expect(await pushes()).toContain('team/other 1'));
    expect(await pushes()).toEqual(['team/app 2', 'team/other 1']);
    expect((await scrape('repository_tags')).join()).not.toContain('cache/');
  });

  test('what it told beside pushes of images was understood and ignored', async () => {
    const outcomes = await scrape('events_total');
    expect(outcomes.map((line) => line.split(' ')[0]).sort()).toEqual(['accepted', 'ignored']);
  });
});
