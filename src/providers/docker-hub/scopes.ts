import { type Bearer, claimsOf } from './login.ts';

/**
 * Every scope that stands anywhere in a token's claims: where is not documented.
 * https://docs.docker.com/security/access-tokens/reference/
 */
function scopesOf(claims: object): ReadonlySet<string> {
  return new Set(JSON.stringify(claims).match(/(?<![\w-])(?:scope-[a-z_-]+|repo:[a-z_]+)/g));
}

/**
 * Why private repositories are, or may be, missing in a listing that says nothing of it: "The filtering is silent. The
 * response is a normal 200 with no indication that private repositories were left out."
 * https://docs.docker.com/security/access-tokens/reference/#listing-behavior
 * @param sawPrivate whether one was listed in the namespace that the token belongs to
 */
export function hiddenRepositories(bearer: Bearer, sawPrivate: boolean): string | undefined {
  const { username, secret } = bearer.account;
  const scopes = scopesOf(claimsOf(bearer.value));
  const told = [...scopes].some((scope) => scope.startsWith('scope-'));
  if (sawPrivate || scopes.has('scope-repository-list')) return undefined;
  const none = 'set privateRepositories: false if there are none';
  const give = `give the token the organisation scope Repository List (scope-repository-list), or ${none}`;
  if (told)
    return `the access token of the organisation ${username} lists public repositories only, and Docker Hub is silent about the private ones: ${give}`;
  if (secret.startsWith('dckr_oat_'))
    return `the access token of the organisation ${username} lists no private repository, and Docker Hub does not say whether it hides them: ${give}`;
  const readsPrivate = ['repo:read', 'repo:write', 'repo:admin'].some((scope) => scopes.has(scope));
  if (scopes.has('repo:public_read') && !readsPrivate)
    return `the access token of ${username} reads public repositories only, so that private ones are missing: make one with Read-only, or ${none}`;
  return undefined;
}
