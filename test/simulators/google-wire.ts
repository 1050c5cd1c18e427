import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import gax, { type protobuf } from 'google-gax';
import { making, replacementOf } from './answers.ts';
import type { Fault, FaultRule } from './faults.ts';

/**
 * Google's APIs as they are on the wire: gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)
 * and JSON over HTTP/1.1 (https://cloud.google.com/apis/docs/http), both on one TLS port. Frames are written by hand,
 * so that they can also be wrong.
 */

/** A refusal in Google's own form; https://cloud.google.com/apis/design/errors */
export class StatusError extends Error {
  readonly status: keyof typeof codes;
  readonly details: readonly object[];
  constructor(status: keyof typeof codes, message: string, details: readonly object[] = []) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

/** gRPC's code and the HTTP status of each; https://cloud.google.com/apis/design/errors#handling_errors */
/** MB that wait to be read by one client before new streams are refused; Node's 10 is less than one answer here. */
const maxSessionMemory = 256;

const codes = {
  CANCELLED: [1, 499],
  UNKNOWN: [2, 500],
  INVALID_ARGUMENT: [3, 400],
  DEADLINE_EXCEEDED: [4, 504],
  NOT_FOUND: [5, 404],
  ALREADY_EXISTS: [6, 409],
  PERMISSION_DENIED: [7, 403],
  RESOURCE_EXHAUSTED: [8, 429],
  FAILED_PRECONDITION: [9, 400],
  ABORTED: [10, 409],
  OUT_OF_RANGE: [11, 400],
  UNIMPLEMENTED: [12, 501],
  INTERNAL: [13, 500],
  UNAVAILABLE: [14, 503],
  DATA_LOSS: [15, 500],
  UNAUTHENTICATED: [16, 401],
} as const;

const statusOfHttp: Readonly<Record<number, keyof typeof codes>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

/** One method of a service. */
export interface Method {
  /** How gRPC calls it; absent where it is served as REST only. */
  readonly grpc?: {
    /** `/package.Service/Method` */
    readonly path: string;
    readonly request: protobuf.Type;
    readonly response: protobuf.Type;
  };
  /** Its address in REST: the first group is the request's field named. */
  readonly rest: { readonly pattern: RegExp; readonly field: string };
  /** What the faults call it, and what they call the repository that it is about. */
  readonly operation: string;
  repositoryOf?(request: Record<string, unknown>): string | undefined;
  /** @returns the answer as protobufjs's `fromObject` takes it, or as JSON without gRPC. @throws StatusError */
  handle(request: Record<string, unknown>): object;
}

export interface GoogleServer {
  readonly url: string;
  readonly faults: FaultRule[];
  /** Calls so far by operation. */
  readonly calls: Map<string, number>;
  /** Headers of the last call. */
  readonly lastHeaders: Record<string, unknown>;
  close(): Promise<void>;
}

/** The messages of a package's own description. */
export const rootOf = (json: object): protobuf.Root =>
  gax.protobuf.Root.fromJSON(json as protobuf.INamespace);

/** google.rpc.Status and its details. */
const rpc = gax.protobuf.parse(
  `syntax = "proto3"; package google.rpc;
   message Any { string type_url = 1; bytes value = 2; }
   message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
   message Duration { int64 seconds = 1; int32 nanos = 2; }
   message RetryInfo { Duration retry_delay = 1; }
   message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`,
).root;

/** @param detail with the name of its message as `@type` */
function any(detail: object): object {
  const { '@type': name, ...fields } = detail as { '@type': string };
  const type = rpc.lookupType(`google.rpc.${name}`);
  return {
    typeUrl: `type.googleapis.com/google.rpc.${name}`,
    value: type.encode(type.fromObject(fields)).finish(),
  };
}

const frame = (message: Uint8Array): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

const retryInfo = (seconds: string): object => ({
  '@type': 'RetryInfo',
  retryDelay: { seconds: Math.floor(Number(seconds)), nanos: (Number(seconds) % 1) * 1e9 },
});

/**
 * The message that goes out. Whoever rewrites answers sees those of gRPC as JSON, with the names of enums and numbers of
 * 64 bits as text, as proto3's own JSON has them.
 * @returns text where that is to be sent in place of a message; undefined where nothing is
 */
function rewrittenMessage(
  method: NonNullable<Method['grpc']>,
  headers: IncomingHttpHeaders,
  asked: object,
  answer: object,
): protobuf.Message | StatusError | string | undefined {
  const message = method.response.fromObject(answer);
  const plain = method.response.toObject(message, { longs: String, enums: String, bytes: String });
  const replaced = replacementOf({
    method: 'POST',
    url: method.path,
    port: 0,
    asked: { headers, body: Buffer.from(JSON.stringify(asked)) },
    status: 200,
    headers: {},
    body: Buffer.from(JSON.stringify(plain)),
  });
  if (replaced?.hangs) return undefined;
  if (replaced?.status !== undefined && replaced.status !== 200)
    return new StatusError(statusOfHttp[replaced.status] ?? 'UNKNOWN', 'simulated');
  if (!replaced?.body) return message;
  const text = replaced.body.toString();
  const fields = text === '' ? {} : messageOf(text, method.response);
  return fields ? method.response.fromObject(fields) : text;
}

/** The fields of a message as JSON, or undefined where the text is no message of this type: somebody else's answer. */
function messageOf(text: string, { fields }: protobuf.Type): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const names = Object.keys(value);
    return names.length === 0 || names.some((name) => name in fields) ? value : undefined;
  } catch {
    return undefined;
  }
}

async function bodyOf(request: AsyncIterable<unknown>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export async function startGoogleServer(options: {
  readonly methods: readonly Method[];
  /** PEM; without it the server is plain: gRPC without TLS, or REST without TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly plain?: 'grpc' | 'rest';
  /** Requests that a bucket holds, which fills at so many per second; more are refused. */
  readonly quota?: { readonly burst: number; readonly perSecond: number };
  /** @throws StatusError */
  authorize(headers: Readonly<Record<string, unknown>>): void;
}): Promise<GoogleServer> {
  const { methods, tls, plain, quota, authorize } = options;
  let left = quota?.burst ?? 0;
  let filledAt = performance.now();
  const faults: FaultRule[] = [];
  const calls = new Map<string, number>();
  const lastHeaders: Record<string, unknown> = {};
  const sockets = new Set<Socket>();

  function takeFault(method: Method, request: Record<string, unknown>): Fault | undefined {
    const repository = method.repositoryOf?.(request);
    const rule = faults.find(
      (one) =>
        (one.times === undefined || one.times > 0) &&
        (one.operation === undefined || one.operation === method.operation) &&
        (one.repository === undefined ||
          (repository !== undefined && `${one.repository}/`.startsWith(`${repository}/`))),
    );
    if (rule?.times !== undefined) rule.times -= 1;
    return rule?.fault;
  }

  function run(
    method: Method,
    headers: Readonly<Record<string, unknown>>,
    request: Record<string, unknown>,
  ): object {
    calls.set(method.operation, (calls.get(method.operation) ?? 0) + 1);
    Object.assign(lastHeaders, headers);
    authorize(headers);
    if (quota) {
      const now = performance.now();
      left = Math.min(quota.burst, left + ((now - filledAt) / 1000) * quota.perSecond);
      filledAt = now;
      if (left < 1) throw new StatusError('RESOURCE_EXHAUSTED', 'Quota exceeded for quota metric Requests');
      left -= 1;
    }
    return method.handle(request);
  }

  const refusalOf = (fault: Fault): StatusError | undefined => {
    if (fault.type === 'throttle')
      return new StatusError(
        'RESOURCE_EXHAUSTED',
        "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'",
        fault.retryAfter === undefined ? [] : [retryInfo(fault.retryAfter)],
      );
    if (fault.type === 'status' && fault.body === undefined)
      return new StatusError(statusOfHttp[fault.status] ?? 'UNKNOWN', 'simulated');
    return undefined;
  };

  async function serveGrpc(stream: ServerHttp2Stream, given: IncomingHttpHeaders): Promise<void> {
    stream.on('error', () => {});
    const method = methods.find(({ grpc }) => grpc?.path === given[':path']);
    const headers = { ':status': 200, 'content-type': 'application/grpc' };
    const refuse = (error: StatusError): void => {
      const [code] = codes[error.status];
      const Status = rpc.lookupType('google.rpc.Status');
      const status = { code, message: error.message, details: error.details.map(any) };
      // A call that fails at once is answered by trailers only.
      stream.respond(
        {
          ...headers,
          'grpc-status': String(code),
          'grpc-message': encodeURI(error.message),
          'grpc-status-details-bin': Buffer.from(Status.encode(Status.fromObject(status)).finish()).toString(
            'base64',
          ),
        },
        { endStream: true },
      );
    };
    const bytes = await bodyOf(stream);
    if (!method?.grpc) return refuse(new StatusError('UNIMPLEMENTED', 'unknown method'));
    const { grpc } = method;
    const asked = grpc.request.toObject(grpc.request.decode(bytes.subarray(5)), {
      longs: Number,
      defaults: true,
    });
    const fault = takeFault(method, asked);
    if (fault?.type === 'slow') await sleep(fault.ms);
    const refusal = fault && refusalOf(fault);
    if (refusal) return refuse(refusal);
    if (fault?.type === 'status') {
      stream.respond({ ':status': fault.status, 'content-type': fault.contentType ?? 'text/html' });
      stream.end(fault.body);
      return;
    }
    if (fault?.type === 'stall') {
      if (fault.at === 'before-headers') return;
      stream.respond(headers);
      if (fault.at === 'before-body') return;
      const length = Buffer.from([0, 0, 15, 66, 64]);
      stream.write(length);
      const timer = setInterval(() => stream.write(Buffer.from([10])), 100);
      stream.once('close', () => clearInterval(timer));
      return;
    }
    if (fault?.type === 'cut' || fault?.type === 'length') {
      stream.respond(headers);
      stream.write(Buffer.from([0, 0, 0, 4, 0, 10, 2]));
      setTimeout(() => stream.session?.destroy(), 20);
      return;
    }
    if (fault?.type === 'body') {
      const isHtml = fault.body.startsWith('<');
      stream.respond(
        { ...headers, ...(isHtml && { 'content-type': 'text/html' }) },
        { waitForTrailers: !isHtml },
      );
      if (!isHtml) stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      // A message without fields is what `{}` is in JSON.
      stream.end(isHtml ? fault.body : frame(Buffer.from(fault.body === '{}' ? '' : fault.body)));
      return;
    }
    try {
      const answer = run(method, given, asked);
      const rewritten = making(() => rewrittenMessage(grpc, given, asked, answer));
      if (rewritten instanceof StatusError) return refuse(rewritten);
      if (stream.destroyed || rewritten === undefined) return;
      if (typeof rewritten === 'string') {
        stream.respond({ ':status': 200, 'content-type': 'text/html' });
        stream.end(rewritten);
        return;
      }
      const message = making(() => frame(grpc.response.encode(rewritten).finish()));
      stream.respond(headers, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(message);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      refuse(error);
    }
  }

  async function serveRest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const refuse = (error: StatusError, headers: Record<string, string> = {}): void => {
      const [, status] = codes[error.status];
      const details = error.details.map((detail) => {
        const {
          '@type': name,
          retryDelay,
          ...fields
        } = detail as {
          '@type': string;
          retryDelay?: { seconds: number };
        };
        return {
          '@type': `type.googleapis.com/google.rpc.${name}`,
          ...fields,
          ...(retryDelay && { retryDelay: `${retryDelay.seconds}s` }),
        };
      });
      response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8', ...headers });
      response.end(
        JSON.stringify({ error: { code: status, message: error.message, status: error.status, details } }),
      );
    };
    const path = decodeURI(url.pathname);
    const method = methods.find(({ rest }) => rest.pattern.test(path));
    if (!method || request.method !== 'GET') return refuse(new StatusError('NOT_FOUND', 'no such address'));
    const asked: Record<string, unknown> = {
      ...Object.fromEntries(url.searchParams),
      [method.rest.field]: method.rest.pattern.exec(path)?.[1],
    };
    if (asked['pageSize'] !== undefined) asked['pageSize'] = Number(asked['pageSize']);
    for (const [name, usual] of Object.entries({ filter: '', pageSize: 0, pageToken: '' }))
      asked[name] ??= usual;
    const fault = takeFault(method, asked);
    if (fault?.type === 'slow') await sleep(fault.ms);
    const refusal = fault && refusalOf(fault);
    if (refusal)
      return refuse(
        refusal,
        fault.type === 'throttle' && fault.retryAfter !== undefined
          ? { 'retry-after': fault.retryAfter }
          : {},
      );
    if (fault?.type === 'status') {
      response.writeHead(fault.status, { 'content-type': fault.contentType ?? 'text/html' });
      response.end(fault.body);
      return;
    }
    if (fault?.type === 'stall') {
      if (fault.at === 'before-headers') return;
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000000' });
      response.flushHeaders();
      if (fault.at === 'before-body') return;
      const timer = setInterval(() => response.write(' '), 100);
      response.once('close', () => clearInterval(timer));
      return;
    }
    if (fault?.type === 'cut' || fault?.type === 'length') {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"repositories":[{');
      const { session } = (request as unknown as { stream?: ServerHttp2Stream }).stream ?? {};
      setTimeout(() => (session ?? request.socket).destroy(), 20);
      return;
    }
    if (fault?.type === 'body') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(fault.body);
      return;
    }
    try {
      const answer = run(method, request.headers, asked);
      const headers = { 'content-type': 'application/json; charset=UTF-8' };
      const { response: type } = method.grpc ?? {};
      const body = JSON.stringify(
        type ? gax.serializer.toProto3JSON(type.fromObject(answer) as never) : answer,
      );
      const replaced =
        request.httpVersionMajor === 2
          ? replacementOf({
              method: 'GET',
              url: request.url ?? '/',
              port: 0,
              asked: { headers: request.headers, body: Buffer.alloc(0) },
              status: 200,
              headers,
              body: Buffer.from(body),
            })
          : undefined;
      if (replaced?.hangs) return;
      response.writeHead(replaced?.status ?? 200, { ...(replaced?.headers ?? headers) });
      response.end(replaced?.body ?? body);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      refuse(error);
    }
  }

  // A client that went away is no fault of the simulator.
  const guarded = (work: Promise<void>): void =>
    void work.catch((error: NodeJS.ErrnoException) => {
      if (!/ERR_HTTP2|ERR_STREAM|ECONNRESET|aborted/.test(`${error.code} ${error.message}`)) throw error;
    });
  const rest = (request: IncomingMessage, response: ServerResponse) => guarded(serveRest(request, response));
  const server: Http2SecureServer | Http2Server | ReturnType<typeof createServer> = tls
    ? createSecureServer({ ...tls, allowHTTP1: true, maxSessionMemory }, rest as never)
    : plain === 'rest'
      ? createServer(rest)
      : createHttp2Server({ maxSessionMemory });
  if (plain !== 'rest') {
    // gRPC is served as streams, not as requests that look like those of HTTP/1.1: trailers are written by hand.
    const requests = server.listeners('stream') as ((...stream: unknown[]) => void)[];
    server.removeAllListeners('stream');
    (server as Http2Server).on('stream', (...stream) => {
      if (stream[1]['content-type']?.startsWith('application/grpc'))
        guarded(serveGrpc(stream[0] as ServerHttp2Stream, stream[1]));
      else for (const serve of requests) serve.apply(server, stream);
    });
  }
  (server as ReturnType<typeof createServer>).on(
    tls ? 'secureConnection' : 'connection',
    (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => sockets.delete(socket));
    },
  );
  server.on('sessionError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    faults,
    calls,
    lastHeaders,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
