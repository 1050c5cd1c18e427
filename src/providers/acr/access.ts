import { CollectError } from '../../errors.ts';
import type { HttpResponse, Judgement } from '../../http.ts';
import type { PlacesContext } from '../../provider.ts';
import { basicHeader } from '../../registry-auth.ts';
import type { Secret } from '../../secret.ts';
import { type Cloud, type CloudName, cloudOf } from './clouds.ts';
import { createCredential, type TokenCredential } from './credential.ts';
import { createManagement, type Location, type Management } from './management.ts';
import { createRegistry, type Registry } from './registry.ts';
import { createResourceGraph, type ResourceGraph } from './resource-graph.ts';
import { createTokens, type Tokens } from './tokens.ts';
import { type AzureHttpClient, createTransport, type Transport } from './transport.ts';

/** The settings that say where to go and as whom. */
export interface AccessSettings {
  readonly loginServer?: string | undefined;
  readonly endpoint?: URL | undefined;
  readonly managementEndpoint?: URL | undefined;
  readonly authorityHost?: URL | undefined;
  readonly cloud?: CloudName | undefined;
  readonly tenantId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly clientSecret?: Secret | undefined;
  readonly clientSecretFile?: Secret | undefined;
  readonly auth?: { readonly username: string; readonly password: Secret } | undefined;
  readonly anonymous?: boolean | undefined;
}

/** The clients of one poll, each made when it is needed. */
export interface Access {
  readonly loginServer: string;
  readonly tokens: Tokens;
  registry(): Promise<Registry>;
  graph(): Promise<ResourceGraph>;
  management(location: Location): Promise<Management>;
}

/** What lives as long as the loop: the SDKs' credential and the registry's tokens. */
interface Kept {
  transport: Transport | undefined;
  readonly httpClient: AzureHttpClient;
  credential: { readonly secret: string | undefined; readonly made: Promise<TokenCredential> } | undefined;
  tokens: Tokens | undefined;
}

/** The registry's own name, by which the SDK and the tokens know it; empty for an entry of many registries. */
export const loginServerOf = ({ loginServer, endpoint }: AccessSettings): string =>
  (loginServer ?? endpoint?.host ?? '').toLowerCase();

/**
 * Azure Resource Graph says how long to wait in a header of its own, such as 00:00:05.
 * https://learn.microsoft.com/en-us/azure/governance/resource-graph/concepts/guidance-for-throttled-requests
 */
export function judge({ status, header }: Pick<HttpResponse, 'status' | 'header'>): Judgement | undefined {
  if (status !== 429) return undefined;
  const [, hours, minutes, seconds] =
    /^(\d+):(\d+):(\d+)/.exec(header('x-ms-user-quota-resets-after') ?? '') ?? [];
  if (seconds === undefined) return undefined;
  return {
    reason: 'throttled',
    retryAfterMs: (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000,
  };
}

const roles =
  'the role AcrPull on the registry, or "Container Registry Repository Catalog Lister" and "Container Registry Repository Reader" where its permissions are by repository';

function advice({ auth, anonymous }: AccessSettings): string {
  if (auth)
    return 'check auth.username and the password; a token needs a scope map with content/read and metadata/read, and cannot list the catalog: name the repositories under `names`';
  if (anonymous)
    return 'it does not let itself be read anonymously: enable anonymous pull, or take an identity';
  return `check that the identity has ${roles}`;
}

function keptOf(context: PlacesContext): Kept {
  return context.session.keep('acr', (): Kept => {
    const kept: Kept = {
      transport: undefined,
      httpClient: {
        sendRequest(request) {
          if (!kept.transport) throw new CollectError('internal', 'no poll is running');
          return kept.transport.sendRequest(request);
        },
      },
      credential: undefined,
      tokens: undefined,
    };
    return kept;
  });
}

/** The identity's credential; made anew when the secret's file changed. */
async function credentialOf(given: AccessSettings, cloud: Cloud, kept: Kept): Promise<TokenCredential> {
  const clientSecret = given.clientSecret ?? given.clientSecretFile;
  const secret = await clientSecret?.read();
  if (!kept.credential || kept.credential.secret !== secret) {
    const { tenantId, clientId } = given;
    const made = createCredential({ tenantId, clientId, clientSecret }, cloud, kept.httpClient);
    kept.credential = { secret, made };
    made.catch(() => {
      kept.credential = undefined;
    });
  }
  return kept.credential.made;
}

/** Clients for one poll. */
export function createAccess(given: AccessSettings, context: PlacesContext): Access {
  const loginServer = loginServerOf(given);
  const cloud = cloudOf(given.cloud, loginServer);
  const origin = new URL(`https://${loginServer || 'no-registry.invalid'}`).origin;
  const kept = keptOf(context);
  const { auth, anonymous } = given;
  kept.tokens ??= createTokens({
    origin,
    advice: advice(given),
    async basic() {
      if (!auth) return undefined;
      return basicHeader({ username: auth.username, password: await auth.password.read() });
    },
  });
  const { tokens } = kept;
  tokens.prune();
  const rewrites = new Map<string, string>();
  if (given.endpoint) rewrites.set(origin, given.endpoint.href);
  if (given.managementEndpoint) rewrites.set(cloud.management, given.managementEndpoint.href);
  if (given.authorityHost) rewrites.set(cloud.authority, given.authorityHost.href);
  const transport = createTransport({
    http: context.http({ judge }),
    rewrites,
    registry: { origin, intermediary: tokens },
  });
  kept.transport = transport;
  const identity = () => credentialOf(given, cloud, kept);
  return {
    loginServer,
    tokens,
    async registry() {
      return createRegistry({
        loginServer,
        credential: auth || anonymous ? undefined : await identity(),
        audience: cloud.audience,
        transport,
        signal: context.signal,
      });
    },
    async graph() {
      return createResourceGraph({ credential: await identity(), cloud, httpClient: transport });
    },
    async management(location) {
      return createManagement({
        credential: await identity(),
        cloud,
        httpClient: transport,
        location,
        tell: context.tell,
      });
    },
  };
}
