import { z } from 'zod';
import { duration, endpointUrl } from '../../options.ts';
import type { Place } from '../../provider.ts';

const region = z.string().regex(/^[a-z]{2,}(-[a-z0-9]+)+$/, 'a region looks like eu-west-1');
const roleArn = z
  .string()
  .regex(
    /^arn:aws[a-z0-9-]*:iam::\d{12}:role\/.+$/,
    'the ARN of a role looks like arn:aws:iam::123456789012:role/exporter',
  );

export const options = z.strictObject({
  region: region.describe("Region of the registry; by default the environment's (AWS_REGION)").optional(),
  regions: z.array(region).min(1).describe('Several regions; each becomes a registry of its own').optional(),
  profile: z.string().min(1).describe("Profile of the AWS CLI's configuration files").optional(),
  assumeRoleArn: roleArn.describe('Role to assume, in the account of the registry').optional(),
  externalId: z.string().min(2).describe('External id that the role asks for').optional(),
  accounts: z
    .array(
      z.strictObject({
        assumeRoleArn: roleArn.describe('Role to assume in this account'),
        externalId: z.string().min(2).describe('External id that the role asks for').optional(),
      }),
    )
    .min(1)
    .describe('Several accounts, by a role in each; each becomes a registry of its own')
    .optional(),
  endpoint: endpointUrl
    .describe(
      "Address of ECR's API, such as a VPC endpoint; one outside AWS is asked for the other services too",
    )
    .optional(),
  endpoints: z
    .strictObject({
      inspector2: endpointUrl.describe("Address of Inspector's API").optional(),
      serviceQuotas: endpointUrl.describe("Address of Service Quotas' API").optional(),
      sts: endpointUrl.describe("Address of STS's API").optional(),
      cloudTrail: endpointUrl.describe("Address of CloudTrail's API").optional(),
    })
    .describe('Addresses of the other services')
    .optional(),
  pushEvents: z
    .strictObject({
      queue: z
        .url({ protocol: /^https?$/, error: 'the URL of an SQS queue' })
        .describe(
          'SQS queue that EventBridge sends events of ECR to; messages are deleted once they are counted',
        )
        .optional(),
      cloudTrail: z
        .boolean()
        .describe('Look for pushes that failed in the calls that CloudTrail recorded; needs no set-up')
        .optional(),
      interval: duration.describe('How often these calls are looked for (default 1m)').optional(),
    })
    .describe('Push events that are read by asking, with no port to open')
    .optional(),
  useFips: z.boolean().describe('Use FIPS endpoints').optional(),
  useDualStack: z.boolean().describe('Use dual-stack endpoints (IPv4 and IPv6)').optional(),
  readIndexes: z
    .boolean()
    .describe(
      'Read which platforms a multi-platform image has, once each (default true); ECR counts that as a pull',
    )
    .optional(),
  findingsInterval: duration
    .describe('How often the findings of basic scanning are read again for the same image (default 6h)')
    .optional(),
});

export type EcrOptions = z.infer<typeof options>;

/** The account in the ARN of a role. */
export const accountOf = (arn: string | undefined): string | undefined => arn?.split(':')[4];

/** What excludes each other. */
export function mistakesOf(config: EcrOptions) {
  const { region: single, regions, accounts, assumeRoleArn, externalId, pushEvents } = config;
  const mistakes: { path: string[]; message: string }[] = [];
  if (single !== undefined && regions)
    mistakes.push({ path: ['regions'], message: 'is given besides region: keep one of the two' });
  if (accounts && assumeRoleArn !== undefined)
    mistakes.push({
      path: ['assumeRoleArn'],
      message: 'is given besides accounts, which name a role each: keep one of the two',
    });
  if (externalId !== undefined && assumeRoleArn === undefined)
    mistakes.push({
      path: ['externalId'],
      message: 'is what a role asks for: it goes with assumeRoleArn, or with each of accounts',
    });
  if (pushEvents?.queue !== undefined && (regions || accounts))
    mistakes.push({
      path: ['pushEvents', 'queue'],
      message: 'is the queue of one region and account: each that has one is an entry of its own',
    });
  return mistakes;
}

/** Accounts × regions; undefined for an entry that is one registry as it stands. */
export function placesOf(config: EcrOptions): Place<EcrOptions>[] | undefined {
  const { regions, accounts, ...rest } = config;
  if (!regions && !accounts) return undefined;
  const roles = accounts ?? [{ assumeRoleArn: config.assumeRoleArn, externalId: config.externalId }];
  return roles.flatMap(({ assumeRoleArn, externalId }) =>
    (regions ?? [config.region]).map((region) => ({
      values: {
        ...(accounts && assumeRoleArn !== undefined && { account: accountOf(assumeRoleArn) ?? '' }),
        ...(regions && region !== undefined && { region }),
      },
      options: {
        ...rest,
        ...(region !== undefined && { region }),
        ...(assumeRoleArn !== undefined && { assumeRoleArn }),
        ...(externalId !== undefined && { externalId }),
      },
    })),
  );
}
