import { describe } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import { conformance } from '../conformance/conformance.ts';
import { startOciSimulator } from '../simulators/oci.ts';
import { populate, truthOf } from '../simulators/oci-population.ts';
import { createStore } from '../simulators/oci-store.ts';

const now = 1_795_000_000;

describe('conformance', () => {
  conformance({
    provider: oci,
    listing: 'catalog',
    images: 'tags',
    families: [
      'repositories',
      'repository_images',
      'repository_tags',
      'repository_artifacts',
      'repository_size_bytes',
      'repository_signed_images',
      'repository_findings',
    ],
    async start({ seed, repositories = 5, pageSize = 1000, endlessPaging }) {
      const store = createStore();
      const population = populate(store, { seed, repositories, now });
      const simulator = await startOciSimulator({
        store,
        referrers: true,
        auth: 'bearer',
        pageSize,
        ...(endlessPaging && { endlessPaging }),
      });
      const { url, username, password } = simulator;
      return {
        registry: { endpoint: url, auth: { username, password } },
        refused: { endpoint: url, auth: { username, password: 'wrong-Passw0rd' } },
        secrets: [password, 'wrong-Passw0rd', Buffer.from(`${username}:wrong-Passw0rd`).toString('base64')],
        truth: () => [
          `repositories{} ${store.repositories.size}`,
          ...[...store.repositories.keys()].flatMap((repository) => {
            const truth = truthOf(store, repository);
            const label = `repository="${repository}"`;
            return [
              `repository_images{${label},state="tagged"} ${truth.tagged}`,
              `repository_tags{${label}} ${truth.tags}`,
              `repository_size_bytes{${label}} ${truth.sizeBytes}`,
              `repository_signed_images{${label}} ${truth.signedImages}`,
              ...Object.entries(truth.artifacts).map(
                ([kind, count]) => `repository_artifacts{${label},kind="${kind}"} ${count}`,
              ),
              ...Object.entries(truth.findings ?? {}).map(
                ([severity, count]) => `repository_findings{${label},severity="${severity}"} ${count}`,
              ),
            ];
          }),
        ],
        repositories: population.repositories,
        faults: simulator.faults,
        change: () => void population.step(),
        deleteRepository: (name) => store.deleteRepository(name),
        expireTokens: () => simulator.expireTokens(150),
        close: simulator.close,
      };
    },
  });
});
