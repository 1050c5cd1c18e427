import { describe } from 'vitest';
import { dockerHub } from '../../src/providers/docker-hub.ts';
import { conformance, type Subject } from '../conformance/conformance.ts';
import { rules } from '../conformance/mutations/rules/docker-hub.ts';
import { mutations } from '../conformance/mutations/suite.ts';
import { startDockerHubSimulator } from '../simulators/docker-hub.ts';
import { hubName } from '../simulators/docker-hub-estate.ts';
import { dockerHubTruth, truthFamilies } from '../simulators/docker-hub-truth.ts';
import { createEstate } from '../simulators/estate.ts';

const now = 1_795_000_000;
/** The default rate is Docker Hub's own; here it would be all that is waited for. */
const http = { requestsPerSecond: 10_000, maxConcurrent: 8 };

const subject: Subject = {
  provider: dockerHub,
  listing: 'repositories',
  images: 'tags',
  families: truthFamilies,
  seeds: 200,
  async start({ seed, repositories = 5, pageSize = 100, endlessPaging }) {
    const estate = createEstate({ seed, repositories, now });
    const simulator = await startDockerHubSimulator({
      estate,
      pageSize,
      ...(endlessPaging && { endlessPaging }),
    });
    const { settings, namespace, username, token } = simulator;
    const registry = { ...settings, http, namespaces: [namespace] };
    const wrong = 'dckr_pat_wrong0000000000000';
    return {
      registry: { ...registry, auth: { username, token } },
      refused: { ...registry, auth: { username, token: wrong } },
      secrets: [token, wrong, Buffer.from(`${username}:${wrong}`).toString('base64')],
      truth: () => dockerHubTruth(simulator),
      repositories: [...estate.repositories.keys()].map((name) => `${namespace}/${hubName(name)}`),
      faults: simulator.faults,
      change: () => void estate.step(),
      deleteRepository(name) {
        for (const known of estate.repositories.keys())
          if (`${namespace}/${hubName(known)}` === name) estate.repositories.delete(known);
      },
      expireTokens: () => simulator.expireTokens(1500),
      close: simulator.close,
    };
  },
};

describe('conformance', () => conformance(subject));
mutations(subject, rules);
