import { describe } from 'vitest';
import { artifactRegistry } from '../../src/providers/artifact-registry.ts';
import { conformance, type Subject } from '../conformance/conformance.ts';
import { rules } from '../conformance/mutations/rules/artifact-registry.ts';
import { mutations } from '../conformance/mutations/suite.ts';
import { artifactRegistryTruth, startProject, truthFamilies } from '../support/artifact-registry.ts';

describe.each([
  ['grpc', 200],
  ['rest', 20],
] as const)('conformance over %s', (transport, seeds) => {
  const subject: Subject = {
    provider: artifactRegistry,
    listing: 'ListRepositories',
    images: 'ListDockerImages',
    families: truthFamilies,
    absentListIsEmpty: true,
    seeds,
    async start({ seed, repositories = 5, pageSize = 1000, endlessPaging }) {
      const project = await startProject({
        seed,
        repositories,
        pageSize,
        transport,
        ...(endlessPaging && { endlessPaging }),
      });
      const { estate, simulator, identity } = project;
      return {
        registry: project.registry,
        refused: { ...project.reach, credentialsFile: project.file('wrong.json', identity.wrongKey) },
        secrets: [identity.key['private_key'], identity.wrongKey['private_key']].map(
          (key) => (key ?? '').split('\n')[5] ?? 'none',
        ),
        truth: () => artifactRegistryTruth(project),
        repositories: [...estate.repositories.keys()],
        faults: simulator.faults,
        change: () => void estate.step(),
        deleteRepository: (name) => estate.repositories.delete(name),
        expireTokens: () => identity.expire(1500),
        close: project.close,
      };
    },
  };
  conformance(subject);
  mutations(subject, rules);
});
