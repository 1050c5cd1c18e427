import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { artifactory } from '../../src/providers/artifactory.ts';
import { conformance, type Subject } from '../conformance/conformance.ts';
import { rules } from '../conformance/mutations/rules/artifactory.ts';
import { mutations } from '../conformance/mutations/suite.ts';
import { startArtifactorySimulator } from '../simulators/artifactory.ts';
import { keyOf } from '../simulators/artifactory-layout.ts';
import { createEstate } from '../simulators/estate.ts';
import { artifactoryTruth, truthFamilies } from '../support/artifactory-truth.ts';

const now = 1_795_000_000;

const subject: Subject = {
  provider: artifactory,
  listing: 'repositories',
  images: 'aql',
  families: truthFamilies,
  seeds: 200,
  async start({ seed, repositories = 5, pageSize = 5000, endlessPaging }) {
    const estate = createEstate({ seed, repositories, now });
    // With and without images that nobody has pushed yet.
    for (const [name, { images }] of estate.repositories)
      if (seed % 2 === 1 && images.size === 0) estate.repositories.delete(name);
    const simulator = await startArtifactorySimulator({
      estate,
      scansPerPage: Math.min(1000, pageSize),
      // Some see all, some only what they may read.
      role: seed % 2 === 0 ? 'reader' : 'administrator',
      ...(endlessPaging && { endlessPaging }),
    });
    const folder = mkdtempSync(join(tmpdir(), 'artifactory-'));
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, simulator.token());
    const { url } = simulator;
    // Some name the platform, some Artifactory itself.
    const endpoint = seed % 3 === 0 ? `${url}/artifactory/` : url;
    return {
      registry: { endpoint, auth: { tokenFile }, aqlPageSize: pageSize },
      refused: { endpoint, auth: { username: 'exporter', password: 'wrong-Passw0rd' } },
      secrets: [
        simulator.token(),
        'wrong-Passw0rd',
        Buffer.from('exporter:wrong-Passw0rd').toString('base64'),
      ],
      truth: () => artifactoryTruth(estate, simulator),
      repositories: [...estate.repositories.keys()],
      faults: simulator.faults,
      change: () => void (estate.repositories.size > 0 && estate.step()),
      deleteRepository(name) {
        estate.repositories.delete(name);
        const key = keyOf(name);
        if ([...estate.repositories.keys()].some((other) => keyOf(other) === key)) return;
        simulator.keys.splice(
          simulator.keys.findIndex((one) => one.key === key),
          1,
        );
      },
      expireTokens: () => writeFileSync(tokenFile, simulator.rotateToken(1500)),
      async close() {
        await simulator.close();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  },
};

describe('conformance', () => conformance(subject));
mutations(subject, rules);
