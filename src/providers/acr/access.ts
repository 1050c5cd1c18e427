import type { HttpResponse, Judgement } from '../../http.ts';
import type { PlacesContext } from '../../provider.ts';
import type { Secret } from '../../secret.ts';
import { type Azure, createAzure } from './azure.ts';
import { type CloudName, cloudOf } from './clouds.ts';
import { createCredential, type EntraCredential } from './credential.ts';
import { type AcrClient, createAcrClient } from './registry-client.ts';
import { createSdkTransport } from './sdk.ts';

/** The settings that say where to go and as whom. */
export interface AccessSettings {
  readonly loginServer?: string | undefined;
  readonly endpoint?: URL | undefined;
  readonly managementEndpoint?: URL | undefined;
  readonly logsEndpoint?: URL | undefined;
  readonly authorityHost?: URL | undefined;
  readonly cloud?: CloudName | undefined;
  readonly tenantId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly clientSecret?: Secret | undefined;
  readonly clientSecretFile?: Secret | undefined;
  readonly auth?: { readonly username: string; readonly password: Secret } | undefined;
  readonly anonymous?: boolean | undefined;
}

/** The clients of one poll. */
export interface Access {
  readonly loginServer: string;
  readonly endpoint: URL;
  readonly client: AcrClient;
  /** Azure's management API; asks for an identity when it is used. */
  azure(): Promise<Azure>;
  /** Log Analytics; likewise. */
  logs(): Promise<Azure>;
}

/** What lives as long as the loop: the credential, which keeps its tokens itself. */
interface Kept {
  /** Sends the credential's requests through the client of the current poll. */
  send: Parameters<typeof createSdkTransport>[0];
  credential: { readonly secret: string | undefined; readonly made: Promise<EntraCredential> } | undefined;
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

/** The identity's credential; made anew when the secret's file changed. */
async function credentialOf(settings: AccessSettings, kept: Kept): Promise<EntraCredential> {
  const clientSecret = settings.clientSecret ?? settings.clientSecretFile;
  const secret = await clientSecret?.read();
  if (!kept.credential || kept.credential.secret !== secret) {
    const { tenantId, clientId } = settings;
    const httpClient = createSdkTransport((...request) => kept.send(...request));
    const cloud = cloudOf(settings.cloud, loginServerOf(settings));
    const made = createCredential({ tenantId, clientId, clientSecret }, cloud, httpClient);
    kept.credential = { secret, made };
    made.catch(() => {
      kept.credential = undefined;
    });
  }
  return kept.credential.made;
}

/** Statuses that the identity library has to see: Microsoft Entra ID explains refusals in the body. */
const seenByLibrary = [400, 401, 403, 404];

/** Clients for one poll. */
export function createAccess(settings: AccessSettings, context: PlacesContext): Access {
  const loginServer = loginServerOf(settings);
  const cloud = cloudOf(settings.cloud, loginServer);
  const endpoint = settings.endpoint ?? new URL(`https://${loginServer || 'no-registry.invalid'}`);
  const { auth, anonymous, authorityHost } = settings;
  const http = context.http({ judge });
  const send: Kept['send'] = (url, request) => {
    const isEntra = url.origin === new URL(cloud.authority).origin;
    const at = isEntra && authorityHost ? authorityHost.href.replace(/\/+$/, '') : url.origin;
    return http.request({
      ...request,
      url: `${at}${url.pathname}${url.search}`,
      // What is left are the many addresses of managed identities.
      operation: isEntra ? 'entra_token' : 'managed_identity',
      // https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
      accept: seenByLibrary,
    });
  };
  const kept = context.session.keep('acr', (): Kept => ({ send, credential: undefined }));
  kept.send = send;
  const identity = () => credentialOf(settings, kept);
  const api = async (service: string, at: URL | undefined): Promise<Azure> =>
    createAzure({ http, endpoint: at, service, credential: await identity() });
  return {
    loginServer,
    endpoint,
    client: createAcrClient({
      http,
      endpoint,
      loginServer,
      session: context.session,
      own: auth && (async () => ({ username: auth.username, password: await auth.password.read() })),
      identity: auth || anonymous ? undefined : async () => (await identity()).token(cloud.audience),
      advice: advice(settings),
    }),
    azure: () => api(cloud.management, settings.managementEndpoint),
    logs: () => api(cloud.logs, settings.logsEndpoint),
  };
}
