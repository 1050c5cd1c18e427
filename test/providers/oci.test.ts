import { describe } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import { conformance, type Subject } from '../conformance/conformance.ts';
import { rules } from '../conformance/mutations/rules/oci.ts';
import { mutations } from '../conformance/mutations/suite.ts';
import { startOciSimulator } from '../simulators/oci.ts';
import { populate } from '../simulators/oci-population.ts';
import { createStore } from '../simulators/oci-store.ts';
import { ociTruth, truthFamilies } from '../support/oci-truth.ts';

const now = 1_795_000_000;

const subject: Subject = {
  provider: oci,
  listing: 'catalog',
  images: 'tags',
  families: truthFamilies,
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
      truth: () => ociTruth(store),
      repositories: population.repositories,
      faults: simulator.faults,
      change: () => void population.step(),
      deleteRepository: (name) => store.deleteRepository(name),
      expireTokens: () => simulator.expireTokens(1500),
      close: simulator.close,
    };
  },
};

describe('conformance', () => conformance(subject));
mutations(subject, rules);
