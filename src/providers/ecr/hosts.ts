import type { ReferenceRule } from '../../model.ts';

/** Where dual-stack hosts lie, by where the others do. */
const dualStack: Readonly<Record<string, string>> = {
  'amazonaws.com': 'on.aws',
  'amazonaws.com.cn': 'on.amazonwebservices.com.cn',
};

/**
 * The hosts of one registry: it is one behind all of them, while the API names the first.
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html, and with FIPS and the other partitions
 * https://github.com/awslabs/amazon-ecr-credential-helper/blob/main/ecr-login/api/client.go
 * @param host as in `repositoryUri`
 */
export function hostsOf(host: string): readonly ReferenceRule[] {
  const [, account, region, domain] = /^([^.]+)\.dkr\.ecr\.([^.]+)\.(.+)$/.exec(host) ?? [];
  const other = dualStack[domain ?? ''];
  const hosts = other
    ? [
        host,
        `${account}.dkr.ecr-fips.${region}.${domain}`,
        `${account}.dkr-ecr.${region}.${other}`,
        `${account}.dkr-ecr-fips.${region}.${other}`,
      ]
    : [host];
  return hosts.map((from) => ({ from, to: '' }));
}
