import { describe } from 'vitest';
import { harbor } from '../../src/providers/harbor.ts';
import { conformance, type Subject } from '../conformance/conformance.ts';
import { rules } from '../conformance/mutations/rules/harbor.ts';
import { mutations } from '../conformance/mutations/suite.ts';
import { createEstate } from '../simulators/estate.ts';
import { startHarborSimulator } from '../simulators/harbor.ts';
import { createHarborWorld } from '../simulators/harbor-world.ts';
import { harborFamilies, harborTruth } from '../support/harbor-truth.ts';

const now = 1_795_000_000;

/** One list for a project, or one for a repository. */
const versions = ['v2.13.1-3e3b4f3d', 'v2.12.0-5d4e6a2b', 'v2.8.0-89ef156d'];
const robot = { username: 'robot$exporter', password: 'r0bot-S3cret-x' };
const administrator = { username: 'admin', password: 'Harbor12345-adm' };

/** @param version a fixed one; default: one of all, by the seed */
const subjectOf = (auth: typeof robot, version?: string): Subject => ({
  provider: harbor,
  listing: 'repositories',
  images: 'artifacts',
  families: harborFamilies,
  seeds: 200,
  async start({ seed, repositories = 5, pageSize = 100, endlessPaging }) {
    const estate = createEstate({ seed, repositories, now });
    const world = createHarborWorld(estate, now);
    world.version = version ?? (versions[seed % versions.length] as string);
    const simulator = await startHarborSimulator({ world, ...(endlessPaging && { endlessPaging }) });
    const wrong = 'wr0ng-S3cret-y';
    return {
      registry: { endpoint: simulator.url, auth, pageSize: Math.min(100, pageSize) },
      refused: { endpoint: simulator.url, auth: { ...auth, password: wrong } },
      secrets: [auth.password, wrong, Buffer.from(`${auth.username}:${wrong}`).toString('base64')],
      truth: () => harborTruth(world),
      repositories: [...estate.repositories.keys()],
      faults: simulator.faults,
      change: () => void estate.step(),
      deleteRepository: simulator.deleteRepository,
      expireTokens: () => {},
      close: simulator.close,
    };
  },
});

describe('conformance', () => conformance(subjectOf(robot)));
describe('a robot account of Harbor 2.8', () =>
  mutations(subjectOf(robot, 'v2.8.0-89ef156d'), { ...rules, sample: 8 }));
describe('an administrator of Harbor 2.13', () =>
  mutations(subjectOf(administrator, 'v2.13.1-3e3b4f3d'), { ...rules, sample: 8 }));
