import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

/** What a release promises, as far as it can be seen without one: no container engine runs here. */

const root = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const dockerfile = read('Dockerfile');
const { jobs } = parse(read('.github/workflows/release.yml'));
const stepsOf = (job: string): { uses?: string; run?: string; with?: Record<string, unknown> }[] =>
  jobs[job].steps;
const commands = (job: string) => stepsOf(job).flatMap(({ run }) => run ?? []);

test('nothing is published before CI has passed', () => {
  expect(jobs.ci.uses).toBe('./.github/workflows/ci.yml');
  expect(jobs.version.needs).toBe('ci');
  for (const job of ['npm', 'image', 'chart']) expect([jobs[job].needs].flat(), job).toContain('version');
});

test('the image is for two platforms, with SBOM and provenance, signed, on bases by digest', () => {
  const build = stepsOf('image').find(({ uses }) => uses?.startsWith('docker/build-push-action'));
  expect(build?.with).toMatchObject({
    platforms: 'linux/amd64,linux/arm64',
    sbom: true,
    provenance: 'mode=max',
  });
  for (const name of ['NODE_IMAGE', 'BASE_IMAGE']) {
    expect(dockerfile).toMatch(new RegExp(`^ARG ${name}=\\S+$`, 'm'));
    expect(dockerfile).toMatch(new RegExp(`^FROM .*\\$\\{${name}\\}`, 'm'));
    expect(build?.with?.['build-args']).toContain(`${name}=`);
  }
  expect(commands('image').join('\n')).toContain('cosign sign');
  expect(commands('chart').join('\n')).toContain('cosign sign');
  expect(commands('npm').join('\n')).toContain('--provenance');
});

test('the image runs as nobody, and holds what scripts/image.sh makes', () => {
  const [, ...stages] = dockerfile.split(/^FROM /m);
  const last = stages.at(-1) ?? '';
  expect(last).toMatch(/^USER 65532:65532$/m);
  expect(last).not.toMatch(/^RUN /m);
  expect(dockerfile).toContain('RUN sh scripts/image.sh /image/app');
  expect(last).toContain('COPY --from=build /image/app ./');
  // Only what the build reads goes to the builder.
  expect(read('.dockerignore').split('\n')).toEqual(
    expect.arrayContaining(['*', '!scripts', '!src', '!LICENSE']),
  );
});
