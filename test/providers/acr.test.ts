import { describe } from 'vitest';
import { acr } from '../../src/providers/acr.ts';
import { conformance, type Subject } from '../conformance/conformance.ts';
import { rules } from '../conformance/mutations/rules/acr.ts';
import { mutations } from '../conformance/mutations/suite.ts';
import { truthFamilies } from '../simulators/acr-estate.ts';
import { startAzure } from '../simulators/azure.ts';

const subject: Subject = {
  provider: acr,
  listing: 'catalog',
  images: 'manifests',
  families: truthFamilies,
  seeds: 200,
  async start({ seed, repositories = 5, pageSize = 1000, endlessPaging }) {
    const azure = await startAzure({
      seed,
      repositories,
      registry: { pageSize, ...(endlessPaging && { endlessPaging }) },
      model: seed % 2 === 0 ? 'individual' : 'grouped',
    });
    const { registry, estate, entra, settings } = azure;
    // The rate is left to what the registry allows, as far as it is not what is tested.
    const http = { requestsPerSecond: 100_000 };
    return {
      registry: { ...settings, http },
      refused: { ...settings, clientSecret: 'wrong~Client.Secret', http },
      secrets: [entra.app.clientSecret, 'wrong~Client.Secret'],
      truth: () => azure.truth(),
      repositories: [...estate.repositories.keys()],
      faults: registry.faults,
      change: () => void azure.step(),
      deleteRepository: (name) => void estate.repositories.delete(name),
      expireTokens: () => registry.expireTokens(1500),
      close: () => azure.close(),
    };
  },
};

describe('conformance', () => conformance(subject));
mutations(subject, rules);
