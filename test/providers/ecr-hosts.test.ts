import { expect, test } from 'vitest';
import { hostsOf } from '../../src/providers/ecr/hosts.ts';

test.each([
  [
    '123456789012.dkr.ecr.eu-west-1.amazonaws.com',
    [
      '123456789012.dkr.ecr.eu-west-1.amazonaws.com',
      '123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com',
      '123456789012.dkr-ecr.eu-west-1.on.aws',
      '123456789012.dkr-ecr-fips.eu-west-1.on.aws',
    ],
  ],
  [
    '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn',
    [
      '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn',
      '123456789012.dkr.ecr-fips.cn-north-1.amazonaws.com.cn',
      '123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn',
      '123456789012.dkr-ecr-fips.cn-north-1.on.amazonwebservices.com.cn',
    ],
  ],
  ['localhost:4566', ['localhost:4566']],
])('images of %s are named by all its hosts', (host, hosts) => {
  expect(hostsOf(host)).toEqual(hosts.map((from) => ({ from, to: '' })));
});
