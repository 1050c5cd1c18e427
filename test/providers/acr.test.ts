import { describe } from 'vitest';
import { acr } from '../../src/providers/acr.ts';
import { conformance } from '../conformance/conformance.ts';
import { truthFamilies } from '../simulators/acr-estate.ts';
import { startAzure } from '../simulators/azure.ts';

describe('conformance', () => {
  conformance({
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
      const http = { timeout: '500ms', retries: 2, requestsPerSecond: 100_000 };
      return {
        registry: { ...settings, http },
        refused: { ...settings, clientSecret: 'wrong~Client.Secret', http },
        secrets: [entra.app.clientSecret, 'wrong~Client.Secret'],
        truth: () => azure.truth(),
        repositories: [...estate.repositories.keys()],
        faults: registry.faults,
        change: () => void azure.step(),
        deleteRepository: (name) => void estate.repositories.delete(name),
        expireTokens: () => registry.expireTokens(150),
        close: () => azure.close(),
      };
    },
  });
});
