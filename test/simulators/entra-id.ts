import { type AzureServer, startAzureServer, type Tls } from './azure-server.ts';
import { makeJwt, readJwt } from './jwt.ts';

/** An app or a workload identity that may ask for tokens. */
export interface EntraApp {
  readonly tenantId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** What a Kubernetes service account shows instead of the secret. */
  readonly federatedToken: string;
}

export interface EntraId extends AzureServer {
  readonly app: EntraApp;
  /** Whether an `Authorization` header holds a token that was given out for the audience. */
  accepts(authorization: string | undefined, audience: string): boolean;
}

/**
 * The token endpoint of Microsoft Entra ID, for client credentials with a secret or a federated token.
 * https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 */
export async function startEntraId(
  options: { readonly tls?: Tls; readonly port?: number } = {},
): Promise<EntraId> {
  const app: EntraApp = {
    tenantId: '72f988bf-0000-4000-8000-2d7cd011db47',
    clientId: '0b5e8e5c-0000-4000-8000-5f5b0a3d1c1e',
    clientSecret: 's3cret~Entra.Client',
    federatedToken: makeJwt({
      iss: 'https://oidc.example',
      sub: 'system:serviceaccount:monitoring:exporter',
    }),
  };
  const given = new Set<string>();
  const error = (code: string, message: string): string =>
    JSON.stringify({
      error: code,
      error_description: message,
      error_codes: [7000215],
      trace_id: 'simulated',
    });
  const server = await startAzureServer({
    ...options,
    error,
    route: (method, path) =>
      method === 'POST' && path === `/${app.tenantId}/oauth2/v2.0/token`
        ? { operation: 'entra_token' }
        : undefined,
    answer({ body, header, send }) {
      const form = new URLSearchParams(body);
      const refuse = (code: string, message: string, status = 400) => send(status, error(code, message));
      if (!header('content-type')?.startsWith('application/x-www-form-urlencoded'))
        return refuse('invalid_request', 'AADSTS900144: The body must be a form.');
      if (form.get('grant_type') !== 'client_credentials')
        return refuse('unsupported_grant_type', 'AADSTS70003: The app requested an unsupported grant type.');
      const [scope] = (form.get('scope') ?? '').split(' ');
      if (!scope?.endsWith('/.default'))
        return refuse('invalid_scope', 'AADSTS1002012: The provided value for scope is not valid.');
      if (form.get('client_id') !== app.clientId)
        return refuse('unauthorized_client', 'AADSTS700016: Application was not found in the directory.');
      const assertion = form.get('client_assertion');
      if (assertion !== null) {
        const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
        if (form.get('client_assertion_type') !== type || assertion !== app.federatedToken)
          return refuse('invalid_client', 'AADSTS70021: No matching federated identity record found.', 401);
      } else if (form.get('client_secret') !== app.clientSecret)
        return refuse('invalid_client', 'AADSTS7000215: Invalid client secret provided.', 401);
      const now = Math.floor(Date.now() / 1000);
      const token = makeJwt({
        aud: scope.slice(0, -'/.default'.length),
        appid: app.clientId,
        iat: now,
        exp: now + 3599,
        jti: given.size,
      });
      given.add(token);
      send(200, { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, access_token: token });
    },
  });
  return {
    ...server,
    app,
    accepts(authorization, audience) {
      const token = /^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '';
      return given.has(token) && readJwt(token)?.['aud'] === audience;
    },
  };
}
