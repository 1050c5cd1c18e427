import { describe, expect, test } from 'vitest';
import { repositoryOf, runningImage } from '../../src/in-use/reference.ts';

const hex = 'ab'.repeat(32);
const digest = `sha256:${hex}`;

/**
 * What runtimes say of the image of a container. `imageID` and `image` of a container's status:
 * - containerd: `imageID` is the name with the digest that was pulled; `image` the name with its tag, or the bare
 *   digest of the config where the tag has moved on. https://github.com/containerd/containerd/blob/main/internal/cri/server/container_status.go
 * - CRI-O: the same, and of newer versions the bare digest of the config where nothing else is known.
 * - Docker (dockershim, cri-dockerd): `docker-pullable://` with the name and digest; `docker://` with the digest of the
 *   config of an image that was never pulled. https://github.com/Mirantis/cri-dockerd/blob/master/core/convert.go
 */
describe('what a runtime says leads to the manifest that it pulled', () => {
  test.each([
    // runtime, imageID, image → name, latest
    ['containerd, a tag', `ghcr.io/acme/api@${digest}`, 'ghcr.io/acme/api:v1', 'ghcr.io/acme/api', false],
    [
      'containerd, a digest',
      `ghcr.io/acme/api@${digest}`,
      `ghcr.io/acme/api@${digest}`,
      'ghcr.io/acme/api',
      false,
    ],
    [
      'containerd, a tag and a digest',
      `ghcr.io/acme/api@${digest}`,
      `ghcr.io/acme/api:v1@${digest}`,
      'ghcr.io/acme/api',
      false,
    ],
    ['containerd, the tag has moved on', `ghcr.io/acme/api@${digest}`, digest, 'ghcr.io/acme/api', false],
    ['containerd, no tag', `ghcr.io/acme/api@${digest}`, 'ghcr.io/acme/api', 'ghcr.io/acme/api', true],
    [
      'containerd, latest',
      `docker.io/library/nginx@${digest}`,
      'docker.io/library/nginx:latest',
      'docker.io/library/nginx',
      true,
    ],
    [
      'containerd, a registry with a port',
      `reg.corp:5000/a/b@${digest}`,
      'reg.corp:5000/a/b:1',
      'reg.corp:5000/a/b',
      false,
    ],
    ['CRI-O, a short name', `docker.io/library/redis@${digest}`, 'redis:7', 'docker.io/library/redis', false],
    ['Docker, a tag', `docker-pullable://nginx@${digest}`, 'nginx:1.27', 'docker.io/library/nginx', false],
    [
      'Docker, an organisation',
      `docker-pullable://acme/api@${digest}`,
      'acme/api:1',
      'docker.io/acme/api',
      false,
    ],
    [
      "Docker's hub by its old name",
      `docker-pullable://index.docker.io/acme/api@${digest}`,
      'acme/api:1',
      'docker.io/acme/api',
      false,
    ],
    [
      'localhost has no dot and is a host',
      `localhost/dev/app@${digest}`,
      'localhost/dev/app:1',
      'localhost/dev/app',
      false,
    ],
    ['an id with the tag in it', `ghcr.io/acme/api:v1@${digest}`, '', 'ghcr.io/acme/api', false],
    ['no id, the digest was asked for', '', `ghcr.io/acme/api@${digest}`, 'ghcr.io/acme/api', false],
    ['a bare id, the digest was asked for', digest, `ghcr.io/acme/api@${digest}`, 'ghcr.io/acme/api', false],
    [
      'a port that https has anyway',
      `ghcr.io:443/acme/api@${digest}`,
      'ghcr.io:443/acme/api:1',
      'ghcr.io/acme/api',
      false,
    ],
    [
      "Docker's hub by the name of its interface",
      `registry-1.docker.io/nginx@${digest}`,
      'nginx:1',
      'docker.io/library/nginx',
      false,
    ],
    ['the host in capitals', `GHCR.io/acme/api@${digest}`, 'GHCR.io/acme/api:1', 'ghcr.io/acme/api', false],
  ])('%s', (_, imageId, image, name, latest) => {
    expect(runningImage(imageId, image)).toEqual({ name, digest, latest });
  });

  test.each([
    ['containerd, an image that was imported', `sha256:${hex}`, 'docker.io/library/local:dev'],
    ['Docker, an image that was built on the node', `docker://sha256:${hex}`, 'local:dev'],
    ['CRI-O, a bare id', hex, 'quay.io/acme/api:v1'],
    ['a container that has not started', '', 'ghcr.io/acme/api:v1'],
    ['a digest of another kind', 'ghcr.io/acme/api@sha512:abc', 'ghcr.io/acme/api:v1'],
    ['a digest that is cut', `ghcr.io/acme/api@sha256:${hex.slice(1)}`, ''],
    ['a name that is none', `ghcr.io/acme api@${digest}`, ''],
    ['a name without end', `${'a/'.repeat(600)}b@${digest}`, ''],
  ])('%s leads nowhere', (_, imageId, image) => {
    expect(runningImage(imageId, image)).toBeUndefined();
  });
});

test.each([
  ['a host', { from: 'ghcr.io', to: '' }, 'ghcr.io/acme/api', 'acme/api'],
  [
    'another host with the same beginning',
    { from: 'ghcr.io', to: '' },
    'ghcr.io.evil.example/acme/api',
    undefined,
  ],
  [
    'a mirror with a path',
    { from: 'mirror.corp/hub', to: '' },
    'mirror.corp/hub/library/nginx',
    'library/nginx',
  ],
  ['a path that only begins alike', { from: 'mirror.corp/hub', to: '' }, 'mirror.corp/hubs/nginx', undefined],
  [
    'a repository of its own',
    { from: 'docker.corp', to: 'docker-local' },
    'docker.corp/acme/api',
    'docker-local/acme/api',
  ],
])('a rule for %s', (_, rule, name, repository) => {
  expect(repositoryOf(rule, name)).toBe(repository);
});
