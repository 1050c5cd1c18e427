import type { PlacesContext } from '../../provider.ts';
import type { Api } from './api.ts';
import { type CredentialOptions, openCredentials } from './credentials.ts';
import { openRegistryByGrpc } from './grpc.ts';
import { openAnalysis, openRegistryByRest } from './rest.ts';
import { createTransport, service } from './transport.ts';

export interface ApiOptions extends CredentialOptions {
  readonly endpoint?: URL | undefined;
  readonly containerAnalysisEndpoint?: URL | undefined;
  readonly transport?: 'grpc' | 'rest' | undefined;
}

/** Opens the APIs for one cycle. */
export async function openApi(settings: ApiOptions, context: PlacesContext): Promise<Api> {
  const http = context.http();
  const credentials = openCredentials(settings, context, http);
  const transport = createTransport({ credentials, http, context });
  const registryAt = service(settings.endpoint ?? new URL('https://artifactregistry.googleapis.com'));
  const analysisAt = service(
    settings.containerAnalysisEndpoint ?? new URL('https://containeranalysis.googleapis.com'),
  );
  const registry =
    settings.transport === 'rest'
      ? openRegistryByRest(transport, registryAt)
      : await openRegistryByGrpc(transport, registryAt, context);
  return { ...registry, ...openAnalysis(transport, analysisAt) };
}
