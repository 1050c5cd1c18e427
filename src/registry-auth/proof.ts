import { CollectError } from '../errors.ts';
import { type HttpClient, shown } from '../http.ts';
import { type Credentials, identityOf } from './credentials.ts';
import { askVersion } from './greeting.ts';
import type { Headers } from './header.ts';
import type { Greeting, Learned } from './learned.ts';
import { type Bearer, challengeErrors, schemesOf } from './scheme.ts';

/** The registry does not take the credentials of the configuration: nothing that it shows is to be believed. */
export class CredentialsRefused extends CollectError {
  /** @param answer what was asked, and the status of the answer */
  constructor(answer: string) {
    super('auth', `${answer}: check that the credentials are right and have not expired`, { status: 401 });
  }
}

/** Whether a server refused who asks; token servers also do so where only the scope is beyond them. */
export const isRefusal = (error: unknown): error is CollectError =>
  error instanceof CollectError && (error.status === 401 || error.status === 403);

/** Shows credentials to a registry for nothing but its verdict. */
export interface Proof {
  /**
   * Whether the registry took them; false where it does not say. Asked once for as long as they are the same.
   * @param scope what will be asked for first, so that its token is not asked for twice
   * @throws CredentialsRefused
   */
  prove(credentials: Credentials, scope?: string): Promise<boolean>;
  /** The same after something was refused: once more in this cycle, however much was refused. */
  proveAgain(credentials: Credentials): Promise<boolean>;
}

interface ProofOptions extends Pick<Headers, 'header' | 'newToken'> {
  readonly http: HttpClient;
  readonly endpoint: URL;
  readonly learned: Learned;
  greeting(): Promise<Greeting>;
}

/** A token for a scope may be refused for the scope's sake; one without any is refused for the credentials' only. */
async function showTokenServer(
  { endpoint, header, newToken }: ProofOptions,
  scheme: Bearer,
  credentials: Credentials,
  scope: string | undefined,
): Promise<boolean> {
  try {
    if (scope !== undefined) {
      await header(scheme, scope, credentials);
      return true;
    }
  } catch (error) {
    if (!isRefusal(error)) return false;
  }
  try {
    await newToken(scheme, credentials);
    return true;
  } catch (error) {
    if (!isRefusal(error)) return false;
    const { origin, pathname } = new URL(scheme.server.realm, endpoint);
    // What it said is told too: a firewall before it, or the registry's own, may refuse whoever asks.
    throw new CredentialsRefused(
      error.status === 403 ? error.message : `${origin}${pathname} answered ${error.status}`,
    );
  }
}

async function show(
  options: ProofOptions,
  credentials: Credentials,
  scope: string | undefined,
): Promise<boolean> {
  const { http, endpoint, greeting, header } = options;
  const { scheme, speaks } = await greeting();
  const isToken = 'token' in credentials;
  if (scheme?.kind === 'bearer' && !isToken) return showTokenServer(options, scheme, credentials, scope);
  if (!speaks) return false;
  const sent = await header(scheme, undefined, credentials);
  if (sent === undefined)
    throw new CollectError(
      'auth',
      `${endpoint.origin} names no token server, which the identity token would be shown to: use a user and password`,
    );
  const response = await askVersion(http, endpoint, sent);
  if (response?.status !== 401) return response !== undefined && response.status < 300;
  const bearer = schemesOf(response).find((scheme) => scheme.kind === 'bearer');
  if (bearer && !isToken) return showTokenServer(options, bearer, credentials, scope);
  // A token may be for some scopes only, and the registry say so here.
  if (isToken && (bearer?.scope !== undefined || challengeErrors(response).includes('insufficient_scope')))
    return false;
  throw new CredentialsRefused(`${shown(response.url)} answered 401`);
}

export function createProof(options: ProofOptions): Proof {
  const { learned } = options;
  const again = new Map<string, Promise<boolean>>();

  /** Keeps the verdict while it is good. */
  async function verdict(identity: string, showing: Promise<boolean>): Promise<boolean> {
    let proven = false;
    try {
      proven = await showing;
      return proven;
    } finally {
      if (!proven) learned.proven.delete(identity);
    }
  }

  return {
    prove(credentials, scope) {
      const identity = identityOf(credentials);
      const showing = learned.proven.get(identity) ?? show(options, credentials, scope);
      learned.proven.set(identity, showing);
      return verdict(identity, showing);
    },
    proveAgain(credentials) {
      const identity = identityOf(credentials);
      const showing = again.get(identity) ?? show(options, credentials, undefined);
      again.set(identity, showing);
      return verdict(identity, showing);
    },
  };
}
