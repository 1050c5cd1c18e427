import { AwsError } from './ecr-actions.ts';

/** https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_ListServiceQuotas.html */
export const serviceQuotasActions: Readonly<
  Record<string, (quotas: ReadonlyMap<string, number>, input: Readonly<Record<string, unknown>>) => object>
> = {
  ListServiceQuotas(quotas, input) {
    if (input['ServiceCode'] !== 'ecr')
      throw new AwsError(
        'NoSuchResourceException',
        'The request failed because the specified service does not exist.',
      );
    const { MaxResults = 100, NextToken } = input as { MaxResults?: number; NextToken?: string };
    if (MaxResults < 1 || MaxResults > 100)
      throw new AwsError('IllegalArgumentException', 'MaxResults must be between 1 and 100');
    // Two pages, since the list of ECR is long.
    const all = [...quotas];
    const half = Math.ceil(all.length / 2);
    if (NextToken !== undefined && NextToken !== 'second')
      throw new AwsError('InvalidPaginationTokenException', 'Invalid input was provided for NextToken');
    return {
      Quotas: (NextToken ? all.slice(half) : all.slice(0, half)).map(([QuotaCode, Value]) => ({
        ServiceCode: 'ecr',
        QuotaCode,
        Value,
        Unit: 'None',
      })),
      ...(NextToken ? {} : { NextToken: 'second' }),
    };
  },
};
