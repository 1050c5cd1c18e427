import { CollectError } from './errors.ts';
import type { HttpRequest, HttpResponse } from './http.ts';
import type { Credentials } from './registry-auth/credentials.ts';
import { NoEntry } from './registry-auth/docker-config.ts';
import { refused, refusedElsewhere } from './registry-auth/refusals.ts';
import { challengeErrors, type Scheme, schemesOf } from './registry-auth/scheme.ts';
import { repositoryOf } from './registry-auth/scope.ts';
import { type ClientOptions, createShowing } from './registry-auth/showing.ts';

export { parseChallenges } from './registry-auth/challenge.ts';
export {
  type Auth,
  basicHeader,
  type Credentials,
  credentialsOf,
  type DockerConfig,
} from './registry-auth/credentials.ts';
export { openDockerConfig } from './registry-auth/docker-config.ts';
export { lifetimeSeconds } from './registry-auth/lifetime.ts';
export { CredentialsRefused } from './registry-auth/proof.ts';
export { catalogScope, pullScope } from './registry-auth/scope.ts';
export { parseToken } from './registry-auth/token-server.ts';

/** A request to the registry, with the scope that its token needs, such as `repository:team/app:pull`. */
export type RegistryRequest = HttpRequest & { readonly scope?: string };

/** Speaks the registry protocol's authentication around an {@link HttpClient}. */
export interface RegistryClient {
  /**
   * Shows the configured credentials before anything is read. Where a part is shown to anybody, wrong ones would else
   * pass unnoticed, and with them all that is private.
   * @param scope what will be asked for first
   * @throws CredentialsRefused when the registry does not take them
   */
  prove(scope: string): Promise<void>;
  /** @throws CollectError `auth` or `forbidden` when a fresh token is refused too. */
  request(request: RegistryRequest): Promise<HttpResponse>;
}

/** How often a request is sent again because its token expired while it waited for its turn. */
const mostRenewals = 3;

/** The scheme that answers a refusal; undefined when all were tried. */
function answerTo(
  response: HttpResponse,
  credentials: Credentials | undefined,
  shownBy: Scheme | undefined,
  tried: readonly Scheme['kind'][],
): Scheme | undefined {
  if (credentials && 'token' in credentials) return undefined;
  const offered = schemesOf(response);
  const isExpired = challengeErrors(response).includes('invalid_token');
  // Harbor asks who brought an expired token for Basic, others for nothing, and nvcr.io for a token of another server,
  // which gives none to who has no account: a new token is tried first.
  // https://github.com/NVIDIA/nvidia-container-toolkit/issues/1945
  const asksOtherwise = offered[0]?.kind !== 'bearer' || (isExpired && !tried.includes('bearer'));
  const schemes = asksOtherwise && shownBy?.kind === 'bearer' ? [shownBy] : [];
  const renewals = isExpired ? mostRenewals : 1;
  return [...schemes, ...offered].find(({ kind }) =>
    kind === 'bearer'
      ? tried.filter((triedKind) => triedKind === kind).length < renewals
      : credentials !== undefined && 'username' in credentials && !tried.includes(kind),
  );
}

type Showing = ReturnType<typeof createShowing>;

const headerOf = (authorization: string | undefined): Readonly<Record<string, string>> =>
  authorization === undefined ? {} : { authorization };

const schemesShownBy = (authorization: string | undefined): Scheme['kind'][] =>
  authorization?.startsWith('Basic ') ? ['basic'] : [];

/** What the last refusal of a request means, after all schemes were tried. */
async function refusalOf(
  response: HttpResponse,
  credentials: Credentials | undefined,
  tried: readonly Scheme['kind'][],
  { areGood }: Showing,
): Promise<CollectError> {
  if (response.stranger) return refusedElsewhere(response);
  const lacksScope = challengeErrors(response).includes('insufficient_scope');
  if (!credentials) return refused(response, false, lacksScope);
  // With a token that was asked for just now, it was the token server that took the credentials.
  const lacksPermission = lacksScope || tried.includes('bearer') || (await areGood(credentials));
  return refused(response, true, lacksPermission);
}

/**
 * Some registries answer expired tokens with 400 or 403: a token that is kept may be good no longer than that, and the next
 * request brings a new one. https://github.com/oras-project/oras-go/issues/1227 and
 * https://github.com/awslabs/soci-snapshotter/issues/920
 */
const mayMeanExpired = (error: unknown): boolean =>
  error instanceof CollectError && (error.status === 400 || error.status === 403);

/** Sends a request with credentials, shown in another way as often as a refusal asks for it. */
async function sendWith(
  { http }: ClientOptions,
  showing: Showing,
  { scope, ...request }: RegistryRequest,
  credentials: Credentials | undefined,
): Promise<HttpResponse> {
  const { show, schemeFor, learn, doubt } = showing;
  const accept = [...(request.accept ?? []), 401];
  let scheme = await schemeFor(scope, credentials);
  let authorization = await show(scheme, scope, credentials);
  const tried = schemesShownBy(authorization);
  for (let wasRefused = false; ; wasRefused = true) {
    const headers = { ...request.headers, ...headerOf(authorization) };
    const response = await http.request({ ...request, accept, headers }).catch((error: unknown) => {
      if (mayMeanExpired(error)) doubt(authorization);
      throw error;
    });
    if (response.status !== 401) {
      if (wasRefused && scheme) await learn(scope, scheme);
      return response;
    }
    // Where the registry redirects to has no say in what is shown to the registry.
    const next = response.stranger ? undefined : answerTo(response, credentials, scheme, tried);
    if (!next) {
      if (request.accept?.includes(401)) return response;
      throw await refusalOf(response, credentials, tried, showing);
    }
    tried.push(next.kind);
    scheme = next;
    authorization = await show(next, scope, credentials, authorization);
  }
}

/**
 * A client of one registry for one cycle. How the registry wants credentials to be shown is asked once, at `/v2/`;
 * from then on every request brings along what it needs.
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */
export function createRegistryClient(options: ClientOptions): RegistryClient {
  const { http, endpoint, credentials: read } = options;
  const showing = createShowing(options);
  return {
    async prove(scope) {
      let credentials: Credentials | undefined;
      try {
        credentials = await read();
      } catch (error) {
        // A file with entries for paths only: each is shown for what lies below it.
        if (error instanceof NoEntry) return;
        throw error;
      }
      if (!credentials) return;
      await showing.schemeFor(scope, credentials);
      await showing.prove(credentials, scope);
    },
    async request(request) {
      if (new URL(request.url).origin === endpoint.origin)
        return sendWith(options, showing, request, await read(repositoryOf(request.scope)));
      const { scope: _, ...plain } = request;
      return http.request({ ...plain, stranger: true });
    },
  };
}
