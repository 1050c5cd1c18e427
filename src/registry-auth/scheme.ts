import type { HttpResponse } from '../http.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { TokenServer } from './token-server.ts';

/** How a registry wants credentials to be shown. */
export type Scheme = { readonly kind: 'basic' } | Bearer;

export interface Bearer {
  readonly kind: 'bearer';
  readonly server: TokenServer;
  /** What the challenge asks for; it goes before what the request would ask for. */
  readonly scope?: string;
}

const bearerOf = (challenge: Challenge | undefined): Bearer | undefined => {
  const realm = challenge?.parameters.get('realm');
  if (!realm) return undefined;
  const scope = challenge?.parameters.get('scope');
  return {
    kind: 'bearer',
    server: { realm, service: challenge?.parameters.get('service') ?? '' },
    scope,
  };
};

/** The schemes of an answer's challenges that can be answered, tokens first. */
export function schemesOf(response: HttpResponse): readonly Scheme[] {
  const challenges = parseChallenges(response.headerLines('www-authenticate'));
  const bearer = bearerOf(challenges.find(({ scheme }) => scheme === 'bearer'));
  const basic = challenges.some(({ scheme }) => scheme === 'basic');
  return [...(bearer ? [bearer] : []), ...(basic ? [{ kind: 'basic' } as const] : [])];
}

/** The names of an answer's schemes, where none of them can be answered. */
export function unknownSchemes(response: HttpResponse): string {
  if (schemesOf(response).length > 0) return '';
  const names = parseChallenges(response.headerLines('www-authenticate')).map(({ scheme }) => scheme);
  return [...new Set(names)].join(', ').slice(0, 100);
}

/** The `error` of an answer's challenge: `invalid_token`, `insufficient_scope`. https://www.rfc-editor.org/rfc/rfc6750#section-3.1 */
export function challengeErrors(response: HttpResponse): readonly string[] {
  return parseChallenges(response.headerLines('www-authenticate')).flatMap(
    ({ parameters }) => parameters.get('error') ?? [],
  );
}

/** The scheme without what only one request was asked for. */
export function usualOf(scheme: Scheme | undefined): Scheme | undefined {
  return scheme?.kind === 'bearer' ? { kind: 'bearer', server: scheme.server } : scheme;
}

/** Whether both show the same for a scope. */
export function isSame(
  scheme: Scheme | undefined,
  other: Scheme | undefined,
  scope: string | undefined,
): boolean {
  if (scheme?.kind !== 'bearer' || other?.kind !== 'bearer') return scheme?.kind === other?.kind;
  return (
    scheme.server.realm === other.server.realm &&
    scheme.server.service === other.server.service &&
    (scheme.scope ?? scope) === (other.scope ?? scope)
  );
}
