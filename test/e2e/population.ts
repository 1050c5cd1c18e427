import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import {
  layer as bytes,
  type Content,
  cosignSignature,
  image,
  index,
  pushTo,
  referrersIndex,
  sarif,
  vulnAttestation,
  writeOciLayout,
} from '../support/oci-image.ts';

/** What is pushed to the real registry, and nothing else is: the truth of the end-to-end test. */
/** Really compressed: skopeo would compress it otherwise, and the digests would be its own. */
const layer = (seed: string, size: number): Buffer => gzipSync(bytes(seed, size));
const base = layer('base', 5000);
export const day = 86_400;
export const started = Math.floor(Date.now() / 1000);

export const v1 = image({ layers: [base, layer('one', 700)], created: started - 200 * day });
/** Pushed as `v2` and then overwritten: nobody can see it any more. */
const lost = image({ layers: [base, layer('lost', 900)], created: started - 3 * day });
export const v2 = image({ layers: [base, layer('two', 800)], created: started - 2 * day });
export const signature = cosignSignature(v2);
export const report = sarif(v2, { CRITICAL: 2, HIGH: 3, MEDIUM: 1 });
export const referrers = referrersIndex([report]);

export const amd64 = image({ layers: [base, layer('amd64', 400)], created: started - day });
export const arm64 = image({
  layers: [layer('arm64', 600)],
  created: started - day,
  platform: { os: 'linux', architecture: 'arm64' },
});
export const multi = index([
  { content: amd64 },
  { content: arm64, platform: { os: 'linux', architecture: 'arm64' } },
]);
export const attestation = vulnAttestation(multi, { CRITICAL: 0, HIGH: 4, LOW: 2 }, 3);

/** In docker's own format, which OCI layouts do not hold; without findings, and gone before the test ends. */
export const doomed = image({ layers: [layer('doomed', 300)], created: started - 5 * day, docker: true });

const tagOf = ({ digest }: Content): string => digest.replace(':', '-');

/** Pushes by skopeo what images are, and by the protocol itself what skopeo does not push. */
export async function pushPopulation(registry: string, folder: string): Promise<void> {
  const skopeo = async (name: string, content: Content, tag: string) => {
    const layout = join(
      folder,
      'layouts',
      `${name.replaceAll('/', '_')}-${tag}-${content.digest.slice(7, 19)}`,
    );
    writeOciLayout(layout, content, tag);
    const to = `docker://${registry.replace(/^http:\/\//, '')}/${name}:${tag}`;
    // Not the synchronous way: this process has to go on reading what the registry prints.
    await promisify(execFile)(
      'skopeo',
      [
        'copy',
        '--all',
        '--preserve-digests',
        '--insecure-policy',
        '--dest-tls-verify=false',
        `oci:${layout}:${tag}`,
        to,
      ],
      { timeout: 300_000 },
    );
  };
  await skopeo('team/app', v1, 'v1');
  await skopeo('team/app', lost, 'v2');
  await skopeo('team/app', v2, 'v2');
  await skopeo('team/multi', multi, 'latest');
  await pushTo(registry, 'doomed', doomed, 'v1');
  await pushTo(registry, 'team/app', signature, `${tagOf(v2)}.sig`);
  await pushTo(registry, 'team/app', referrers, tagOf(v2));
  await pushTo(registry, 'team/multi', attestation, `${tagOf(multi)}.att`);
}
