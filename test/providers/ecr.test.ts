import { afterAll, describe } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { conformance, type Subject } from '../conformance/conformance.ts';
import { rules } from '../conformance/mutations/rules/ecr.ts';
import { mutations } from '../conformance/mutations/suite.ts';
import { startEcrSimulator } from '../simulators/ecr.ts';
import { ecrTruth, truthFamilies } from '../simulators/ecr-truth.ts';
import type { ScanMode } from '../simulators/ecr-wire.ts';
import { createEstate } from '../simulators/estate.ts';
import { useAwsFiles } from '../support/aws.ts';
import { tempDir } from '../support/programs.ts';

const now = 1_795_000_000;
const modes: readonly ScanMode[] = ['clair', 'native', 'enhanced'];

const folder = tempDir();
afterAll(() => folder.remove());
const wrongSecret = 'wrong/Secret+Key0123456789abcdefghijklmn';

const subject: Subject = {
  provider: ecr,
  listing: 'DescribeRepositories',
  images: 'DescribeImages',
  families: truthFamilies,
  seeds: process.env['LONG'] ? 200 : 60,
  async start({ seed, repositories = 5, pageSize = 1000, endlessPaging }) {
    const simulator = await startEcrSimulator({
      estate: createEstate({ seed, repositories, now, archived: true }),
      mode: modes[seed % 3] as ScanMode,
      scanRules: ['api', 'web'],
      threeSeverities: seed % 2 === 0,
      pageSize,
      ...(endlessPaging && { endlessPaging }),
    });
    const { key, estate, roleArn } = simulator;
    useAwsFiles(folder.path, {
      exporter: { id: key.accessKeyId, secret: key.secretAccessKey },
      wrong: { id: key.accessKeyId, secret: wrongSecret },
    });
    const registry = {
      endpoint: simulator.url,
      region: simulator.region,
      profile: 'exporter',
      // A role's credentials expire.
      assumeRoleArn: roleArn,
      // A new scan of the same image is to be seen at once.
      findingsInterval: '1ms',
    };
    return {
      registry,
      refused: { ...registry, profile: 'wrong' },
      secrets: [key.secretAccessKey, wrongSecret],
      truth: () => ecrTruth(simulator),
      repositories: [...estate.repositories.keys()],
      faults: simulator.faults,
      change: () => void estate.step(),
      deleteRepository: (name) => void estate.repositories.delete(name),
      expireTokens: () => simulator.expireTokens(1500),
      close: simulator.close,
    };
  },
};

describe('conformance', () => conformance(subject));
mutations(subject, rules);
