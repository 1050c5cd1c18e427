import type { CallOptions } from 'google-gax';
import type { z } from 'zod';
import { walkPages } from '../../http/pages.ts';
import type { PlacesContext } from '../../provider.ts';
import { readElements } from '../../wire.ts';
import type { RegistryApi } from './api.ts';
import { clientOptions } from './channel.ts';
import { pageSize } from './rest.ts';
import { dockerImageRow, locationRow, repositoryRow } from './rows.ts';
import type { Service, Transport } from './transport.ts';

/** Artifact Registry through Google's SDK, for one cycle: its channel is closed with it. */
export async function openRegistryByGrpc(
  transport: Transport,
  at: Service,
  context: PlacesContext,
): Promise<RegistryApi> {
  const { ArtifactRegistryClient } = await import('@google-cloud/artifact-registry');
  const client = new ArtifactRegistryClient(await clientOptions(context, at));
  type Answer = readonly [readonly unknown[] | null | undefined, unknown, unknown];

  const pages = <Row extends z.ZodType>(
    operation: string,
    row: Row,
    send: (page: { pageSize: number; pageToken: string }, options: CallOptions) => Promise<Answer>,
  ): AsyncGenerator<readonly z.output<Row>[]> =>
    walkPages({
      what: operation,
      first: '',
      async read(pageToken) {
        const [rows, , answer] = await transport.call(operation, at, (options) =>
          send({ pageSize, pageToken }, options),
        );
        const { nextPageToken: next } = answer as { readonly nextPageToken?: string | null };
        const { items } = await readElements(operation, row, rows ?? [], ({ at: field, problem }) =>
          context.tell(
            `odd ${operation} ${field}`,
            { operation, at: field, problem },
            'a part of an answer could not be understood and was left out',
          ),
        );
        return { items, next: next || undefined };
      },
    });

  return {
    async *locations(project) {
      const name = `projects/${project}`;
      const list = pages('ListLocations', locationRow, (page, options) =>
        client.locationsClient.listLocations({ name, ...page }, options),
      );
      for await (const page of list) yield page.flatMap(({ locationId }) => locationId || []);
    },
    repositories: (parent) =>
      pages('ListRepositories', repositoryRow, (page, options) =>
        client.listRepositories({ parent, ...page }, options),
      ),
    dockerImages: (parent) =>
      pages('ListDockerImages', dockerImageRow, (page, options) =>
        client.listDockerImages({ parent, ...page }, options),
      ),
    close: () => void client.close().catch(() => {}),
  };
}
