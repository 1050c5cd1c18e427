/** What a token has to allow: https://distribution.github.io/distribution/spec/auth/scope/ */

export const catalogScope = 'registry:catalog:*';

export const pullScope = (repository: string): string => `repository:${repository}:pull`;

/** The repository that a scope is about. */
export const repositoryOf = (scope: string | undefined): string | undefined =>
  /^repository:(.+):[^:]*$/s.exec(scope ?? '')?.[1];
