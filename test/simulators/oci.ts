import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { artifact, type Content, digestOf, mediaTypes } from '../support/oci-image.ts';
import { applyFault, type FaultRule } from './faults.ts';
import { createStore, type Store } from './oci-store.ts';

/**
 * A registry as https://github.com/opencontainers/distribution-spec/blob/main/spec.md describes it, with what real
 * ones do differently as options.
 */
export interface OciSimulatorOptions {
  readonly store?: Store;
  /** Whether the referrers API exists; without it, an answer is 404 in plain text, as of distribution 2.8. */
  readonly referrers?: boolean;
  readonly catalog?: 'open' | 'forbidden' | 'missing';
  readonly auth?: 'none' | 'basic' | 'bearer';
  /** Entries per page at most, whatever is asked. */
  readonly pageSize?: number;
  /** All tags at once whatever is asked, as of distribution 2.8. */
  readonly unpagedTags?: boolean;
  /** `omit` leaves Docker-Content-Digest out; `refuse` answers HEAD with 405. */
  readonly head?: 'normal' | 'omit-digest' | 'refuse';
  readonly tokenSeconds?: number;
  readonly port?: number;
  /** A next page that never ends: the same one, two in turn, or one elsewhere. */
  readonly endlessPaging?: 'same' | 'cycle' | 'cross-origin';
  /** Whether pages have a Link to the next; `inner`: with an address that is not known outside. */
  readonly link?: 'normal' | 'none' | 'inner';
  /** Of the registry behind a proxy: it answers below this path, and knows nothing of it. */
  readonly prefix?: string;
  /** An answer that another registry gives in the place of the simulator's. */
  intercept?(asked: Asked): Answer | undefined | Promise<Answer | undefined>;
}

/** A request, as far as an answer may depend on it. */
export interface Asked {
  readonly operation: string;
  readonly repository: string;
  /** A tag or digest. */
  readonly reference: string;
  readonly url: URL;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

export interface OciSimulator {
  readonly url: string;
  readonly port: number;
  readonly store: Store;
  readonly faults: FaultRule[];
  readonly username: string;
  readonly password: string;
  /** Requests by operation since the last reset. */
  readonly requests: Map<string, number>;
  /** Makes all tokens invalid that were given out at least so long ago. */
  expireTokens(olderThanMs?: number): void;
  close(): Promise<void>;
}

const error = (code: string, message: string): string =>
  JSON.stringify({ errors: [{ code, message, detail: null }] });

interface Route {
  readonly operation: string;
  readonly repository?: string;
  readonly reference?: string;
}

function route(method: string, path: string): Route | undefined {
  if (path === '/token') return { operation: 'token' };
  if (path === '/v2/' || path === '/v2') return { operation: 'base' };
  if (path === '/v2/_catalog') return { operation: 'catalog' };
  const tags = /^\/v2\/([\s\S]+)\/tags\/list$/.exec(path);
  if (tags?.[1]) return { operation: 'tags', repository: tags[1] };
  const manifest = /^\/v2\/([\s\S]+)\/manifests\/([^/]+)$/.exec(path);
  if (manifest?.[1] && manifest[2])
    return { operation: `manifest_${method.toLowerCase()}`, repository: manifest[1], reference: manifest[2] };
  const upload = /^\/v2\/([\s\S]+)\/blobs\/uploads\/?([^/]*)$/.exec(path);
  if (upload?.[1]) return { operation: 'upload', repository: upload[1], reference: upload[2] ?? '' };
  const blob = /^\/v2\/([\s\S]+)\/blobs\/([^/]+)$/.exec(path);
  if (blob?.[1] && blob[2])
    return { operation: `blob_${method.toLowerCase()}`, repository: blob[1], reference: blob[2] };
  const referrers = /^\/v2\/([\s\S]+)\/referrers\/([^/]+)$/.exec(path);
  if (referrers?.[1] && referrers[2])
    return { operation: 'referrers', repository: referrers[1], reference: referrers[2] };
  return undefined;
}

/** Starts a simulator on the loopback interface. */
export async function startOciSimulator(options: OciSimulatorOptions = {}): Promise<OciSimulator> {
  const store = options.store ?? createStore();
  const faults: FaultRule[] = [];
  const requests = new Map<string, number>();
  const tokens = new Map<
    string,
    { readonly scopes: ReadonlySet<string>; readonly until: number; readonly since: number }
  >();
  const uploaded = new Map<string, Buffer>();
  const username = 'robot';
  const password = 's3cret-Passw0rd';
  const basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const pageSize = options.pageSize ?? 1000;
  let url = '';
  let turn = 0;

  const send = (
    response: ServerResponse,
    status: number,
    body: string | Buffer,
    headers: object = {},
  ): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers } as Record<string, string>);
    response.end(body);
  };

  function authorized(
    request: IncomingMessage,
    response: ServerResponse,
    scope: string | undefined,
  ): boolean {
    const given = request.headers.authorization;
    if (options.auth === 'basic') {
      if (given === basic) return true;
      send(response, 401, error('UNAUTHORIZED', 'authentication required'), {
        'www-authenticate': 'Basic realm="simulated"',
      });
      return false;
    }
    if (options.auth !== 'bearer') return true;
    const token = tokens.get((given ?? '').replace(/^Bearer /, ''));
    const valid = token !== undefined && token.until > Date.now();
    if (valid && (scope === undefined || token.scopes.has(scope))) return true;
    const problem =
      given === undefined ? '' : valid ? ',error="insufficient_scope"' : ',error="invalid_token"';
    send(response, 401, error('UNAUTHORIZED', 'authentication required'), {
      'www-authenticate': `Bearer realm="${url}/token",service="simulated"${scope === undefined ? '' : `,scope="${scope}"`}${problem}`,
    });
    return false;
  }

  function token(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): void {
    if (request.headers.authorization !== basic)
      return send(response, 401, error('UNAUTHORIZED', 'wrong credentials'));
    const value = randomBytes(12).toString('hex');
    const seconds = options.tokenSeconds ?? 300;
    const since = Date.now();
    for (const [old, { until }] of tokens) if (until < Date.now()) tokens.delete(old);
    tokens.set(value, { scopes: new Set(query.getAll('scope')), since, until: since + seconds * 1000 });
    send(response, 200, JSON.stringify({ token: value, expires_in: seconds }));
  }

  /** One page of sorted names, and the Link to the next. */
  function page(names: readonly string[], path: string, query: URLSearchParams, paged = true) {
    if (!paged) return { names, headers: {} };
    const asked = Number(query.get('n') ?? pageSize);
    const size = Math.min(asked, pageSize);
    const last = query.get('last');
    const start = last === null ? 0 : names.findIndex((name) => name > last);
    const part = start < 0 ? [] : names.slice(start, start + size);
    const more = start >= 0 && start + size < names.length;
    turn += 1;
    const endless = {
      same: `${path}?n=${size}&last=again`,
      cycle: `${path}?n=${size}&last=${turn % 2 === 0 ? 'again' : 'aagain'}`,
      'cross-origin': `http://127.0.0.2:9${path}?n=${size}`,
    };
    const inner = options.link === 'inner' ? 'http://registry.inner:8081/repository/docker' : '';
    const next = options.endlessPaging
      ? endless[options.endlessPaging]
      : `${inner}${path}?last=${encodeURIComponent(part.at(-1) ?? '')}&n=${size}`;
    const linked = options.link !== 'none' && (more || options.endlessPaging);
    return { names: part, headers: linked ? { link: `<${next}>; rel="next"` } : {} };
  }

  function manifest(
    request: IncomingMessage,
    response: ServerResponse,
    repository: string,
    reference: string,
  ): void {
    if (request.method === 'HEAD' && options.head === 'refuse') return send(response, 405, '');
    const stored = store.repositories.get(repository);
    const content = stored?.manifests.get(stored.tags.get(reference) ?? reference);
    const accept = request.headers.accept ?? '';
    if (!content) return send(response, 404, error('MANIFEST_UNKNOWN', 'manifest unknown'));
    if (!accept.includes(content.mediaType))
      return send(
        response,
        404,
        error('MANIFEST_UNKNOWN', `OCI manifest found, but accept header does not support it`),
      );
    const headers = {
      'content-type': content.mediaType,
      etag: `"${content.digest}"`,
      ...(options.head !== 'omit-digest' && { 'docker-content-digest': content.digest }),
    };
    if (request.headers['if-none-match'] === `"${content.digest}"`) return send(response, 304, '', headers);
    if (request.method === 'HEAD')
      return send(response, 200, '', { ...headers, 'content-length': content.bytes.length });
    send(response, 200, content.bytes, headers);
  }

  function referrers(response: ServerResponse, repository: string, digest: string): void {
    if (!options.referrers)
      return send(response, 404, '404 page not found\n', { 'content-type': 'text/plain' });
    const manifests = store.referrers(repository, digest).map((content) => {
      const { annotations } = JSON.parse(content.bytes.toString()) as { annotations?: object };
      const descriptor = { mediaType: content.mediaType, digest: content.digest, size: content.bytes.length };
      return { ...descriptor, artifactType: content.artifactType, ...(annotations && { annotations }) };
    });
    send(response, 200, JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }), {
      'content-type': mediaTypes.index,
    });
  }

  async function bodyOf(request: IncomingMessage): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    return Buffer.concat(pieces);
  }

  /** Takes pushes, so that docker, skopeo and oras can fill the simulator. */
  function putManifest(repository: string, reference: string, bytes: Buffer, mediaType: string): Content {
    const document = JSON.parse(bytes.toString()) as {
      config?: { digest: string };
      layers?: { digest: string }[];
      manifests?: { digest: string }[];
      artifactType?: string;
      subject?: { digest: string };
    };
    const stored = store.repositories.get(repository);
    const digests = new Set([document.config, ...(document.layers ?? [])].map((one) => one?.digest ?? ''));
    const blobs = [...digests].flatMap((digest) => {
      const found = uploaded.get(digest);
      return found ? [{ digest, bytes: found }] : [];
    });
    const content: Content = {
      digest: digestOf(bytes),
      mediaType,
      bytes,
      blobs,
      children: (document.manifests ?? []).flatMap(({ digest }) => stored?.manifests.get(digest) ?? []),
      sizeBytes: blobs.reduce((sum, one) => sum + one.bytes.length, bytes.length),
      ...(document.artifactType !== undefined && { artifactType: document.artifactType }),
      ...(document.subject && { subject: document.subject.digest }),
    };
    store.put(repository, content, reference.startsWith('sha256:') ? undefined : reference);
    return content;
  }

  function findBlob(repository: string, digest: string): Buffer | undefined {
    for (const content of store.repositories.get(repository)?.manifests.values() ?? []) {
      const found = content.blobs.find((one) => one.digest === digest);
      if (found) return found.bytes;
    }
    return uploaded.get(digest);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = new URL(request.url ?? '/', url);
    const { pathname, searchParams } = asked;
    const { prefix = '' } = options;
    if (!pathname.startsWith(prefix)) return send(response, 404, '404 page not found\n');
    const path = decodeURIComponent(pathname.slice(prefix.length));
    const found = route(request.method ?? 'GET', path);
    if (!found) return send(response, 404, error('NOT_FOUND', 'no such route'));
    const { operation, repository = '', reference = '' } = found;
    requests.set(operation, (requests.get(operation) ?? 0) + 1);
    const other = await options.intercept?.({ operation, repository, reference, url: asked });
    if (other) {
      response.writeHead(other.status, other.headers ?? { 'content-type': 'application/json' });
      return void response.end(request.method === 'HEAD' ? undefined : other.body);
    }
    if (await applyFault(faults, found as never, request, response, error('TOOMANYREQUESTS', 'slow down')))
      return;
    if (operation === 'token') return token(request, response, searchParams);
    // `/v2/` asks for a good token, whatever it is for.
    const scope =
      operation === 'base'
        ? undefined
        : operation === 'catalog'
          ? 'registry:catalog:*'
          : `repository:${repository}:pull`;
    if (!authorized(request, response, scope)) return;
    if (operation === 'base') return send(response, 200, '{}');
    if (operation === 'catalog') {
      if (options.catalog === 'forbidden')
        return send(response, 403, error('DENIED', 'catalog is not allowed'));
      if (options.catalog === 'missing') return send(response, 404, error('UNSUPPORTED', 'no catalog'));
      const { names, headers } = page([...store.repositories.keys()].sort(), path, searchParams);
      return send(response, 200, JSON.stringify({ repositories: names }), headers);
    }
    if (operation === 'upload') {
      const digest = searchParams.get('digest');
      const body = await bodyOf(request);
      if (request.method === 'POST')
        return send(response, 202, '', {
          location: `/v2/${repository}/blobs/uploads/${randomBytes(6).toString('hex')}`,
          range: '0-0',
        });
      const key = `upload:${reference}`;
      uploaded.set(key, Buffer.concat([uploaded.get(key) ?? Buffer.alloc(0), body]));
      if (request.method === 'PATCH')
        return send(response, 202, '', {
          location: pathname,
          range: `0-${(uploaded.get(key)?.length ?? 1) - 1}`,
        });
      const bytes = uploaded.get(key) ?? body;
      uploaded.delete(key);
      if (digest !== digestOf(bytes))
        return send(response, 400, error('DIGEST_INVALID', 'digest does not fit'));
      uploaded.set(digest, bytes);
      return send(response, 201, '', {
        location: `/v2/${repository}/blobs/${digest}`,
        'docker-content-digest': digest,
      });
    }
    if (operation === 'manifest_put') {
      const bytes = await bodyOf(request);
      const content = putManifest(repository, reference, bytes, request.headers['content-type'] ?? '');
      return send(response, 201, '', { 'docker-content-digest': content.digest, location: pathname });
    }
    const bytes = operation.startsWith('blob_') ? findBlob(repository, reference) : undefined;
    if (operation.startsWith('blob_') && request.method === 'HEAD' && !bytes) return send(response, 404, '');
    const stored = store.repositories.get(repository);
    if (!stored) return send(response, 404, error('NAME_UNKNOWN', 'repository name not known to registry'));
    if (operation === 'tags') {
      const tags = [...stored.tags.keys()].sort();
      const { names, headers } = page(tags, path, searchParams, !options.unpagedTags);
      return send(
        response,
        200,
        JSON.stringify({ name: repository, tags: tags.length > 0 ? names : null }),
        headers,
      );
    }
    if (operation === 'referrers') return referrers(response, repository, reference);
    if (operation.startsWith('manifest_')) return manifest(request, response, repository, reference);
    if (!bytes) return send(response, 404, error('BLOB_UNKNOWN', 'blob unknown to registry'));
    send(response, 200, request.method === 'HEAD' ? '' : bytes, {
      'content-type': 'application/octet-stream',
      'content-length': bytes.length,
      'docker-content-digest': reference,
    });
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((failure) => {
      if (response.headersSent) response.destroy();
      else send(response, 500, error('UNKNOWN', String(failure)));
    });
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  url = `http://127.0.0.1:${port}`;
  return {
    url,
    port,
    store,
    faults,
    username,
    password,
    requests,
    expireTokens(olderThanMs = 0) {
      for (const [value, { since }] of tokens) if (Date.now() - since >= olderThanMs) tokens.delete(value);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What some clients store instead of using the referrers API: an index under the tag `sha256-<hex>`. */
export function referrersTag(store: Store, repository: string, subject: Content): void {
  const attached = store.referrers(repository, subject.digest);
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: attached.map(({ mediaType, digest, bytes, artifactType }) => ({
      mediaType,
      digest,
      size: bytes.length,
      artifactType,
    })),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const content = {
    ...artifact({ artifactType: 'x', layers: [] }),
    bytes,
    digest: digestOf(bytes),
    blobs: [],
    sizeBytes: bytes.length,
  };
  const { artifactType: _, ...plain } = content;
  store.put(repository, { ...plain, mediaType: mediaTypes.index }, subject.digest.replace(':', '-'));
}
