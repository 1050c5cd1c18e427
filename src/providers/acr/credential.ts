import { CollectError } from '../../errors.ts';
import type { Secret } from '../../secret.ts';
import type { Cloud } from './clouds.ts';
import type { AzureHttpClient } from './sdk.ts';

/** Microsoft Entra ID gives no token: what the registry or Azure lets the identity do is not the matter. */
export class NoIdentity extends CollectError {}

/** Gives tokens of Microsoft Entra ID. */
export interface EntraCredential {
  /** @param audience the service that the token is for */
  token(audience: string): Promise<string>;
}

export interface Identity {
  readonly tenantId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly clientSecret?: Secret | undefined;
}

/** What the identity is, for people. */
function described({ clientId, clientSecret }: Identity): string {
  if (clientSecret) return `the client secret of ${clientId}`;
  if (process.env['AZURE_FEDERATED_TOKEN_FILE'])
    return 'the federated token of Azure Workload Identity (AZURE_FEDERATED_TOKEN_FILE)';
  return clientId === undefined
    ? 'the default chain: environment, workload identity, managed identity, developer tools'
    : `the managed identity ${clientId}`;
}

/** What went wrong, in one line: of a chain what each of its links says, which else is a page long. */
function firstLine(error: unknown): string {
  const { errors } = error as { errors?: unknown };
  if (Array.isArray(errors) && errors.length > 0) return errors.map(firstLine).join('; ').slice(0, 500);
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0]?.trim().slice(0, 300) ?? '';
}

/** What the library makes; it refuses at once where a part such as the client's id is missing. */
function made<T>(identity: Identity, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw refusal(identity, firstLine(error), {});
  }
}

/**
 * A credential of Microsoft Entra ID; it keeps its tokens itself.
 * @param httpClient carries the requests of each poll in turn
 */
export async function createCredential(
  identity: Identity,
  cloud: Cloud,
  httpClient: AzureHttpClient,
): Promise<EntraCredential> {
  const { ClientSecretCredential, DefaultAzureCredential, WorkloadIdentityCredential } = await import(
    '@azure/identity'
  );
  const { tenantId, clientId, clientSecret } = identity;
  let failure: unknown;
  const common = {
    authorityHost: cloud.authority,
    retryOptions: { maxRetries: 0 },
    httpClient: {
      // The identity library keeps only the message of what goes wrong.
      async sendRequest(request: Parameters<AzureHttpClient['sendRequest']>[0]) {
        try {
          return await httpClient.sendRequest(request);
        } catch (error) {
          failure = error;
          throw error;
        }
      },
    },
  };
  const chain = !clientSecret && !process.env['AZURE_FEDERATED_TOKEN_FILE'];
  const own = {
    ...common,
    ...(tenantId && { tenantId }),
    ...(clientId && { clientId }),
  };
  const secret = await clientSecret?.read();
  const inner = made(identity, () => {
    if (secret !== undefined)
      return new ClientSecretCredential(tenantId ?? '', clientId ?? '', secret, common);
    if (!chain) return new WorkloadIdentityCredential(own);
    return new DefaultAzureCredential({
      ...common,
      ...(tenantId && { tenantId }),
      ...(clientId && { managedIdentityClientId: clientId }),
    });
  });
  return {
    async token(audience) {
      failure = undefined;
      let token: string | undefined;
      try {
        token = (await inner.getToken(`${audience}/.default`))?.token;
      } catch (error) {
        if (!chain && failure instanceof CollectError) throw failure;
        throw refusal(identity, firstLine(error), chain ? {} : { cause: error });
      }
      if (token === undefined) throw refusal(identity, 'an empty answer', {});
      return token;
    },
  };
}

// A chain's own message is a page with the headers of whoever answered: it is no cause.
const refusal = (identity: Identity, said: string, cause: ErrorOptions): CollectError =>
  new NoIdentity(
    'auth',
    `Microsoft Entra ID gave no token for ${described(identity)}: ${said}: check tenantId, clientId and the secret or federated credential`,
    cause,
  );
