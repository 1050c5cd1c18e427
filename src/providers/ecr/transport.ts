import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { CollectError, type FailureReason } from '../../errors.ts';
import { type HttpClient, type HttpResponse, json } from '../../http.ts';
import type { SdkResponse } from './errors.ts';
import { named } from './errors.ts';
import type { EcrOptions } from './options.ts';

/**
 * The SDK's requests over the exporter's own HTTP: its proxies, certificates, deadlines, limits, retries and counts.
 * The SDK keeps what it is good at: credentials, endpoints, serialisation, signing.
 */

/** What of the SDK's requests is used here. */
interface SdkRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

interface Signer {
  sign(request: SdkRequest, identity: unknown, properties: unknown): Promise<SdkRequest>;
  readonly errorHandler?: unknown;
  readonly successHandler?: unknown;
}

/** What makes requests for the SDK. Lives as long as its clients; each cycle lends it its HTTP client. */
export interface Transport {
  readonly requestHandler: { handle(request: SdkRequest): Promise<{ readonly response: SdkResponse }> };
  use(http: HttpClient): void;
  /**
   * Lets a client sign each attempt when its turn comes. By itself it signs before the request waits for its turn, and a
   * signature is good for five minutes only:
   * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
   */
  signLate(client: { readonly config: object }): void;
}

/** Errors that the vendor's own answer tells; the SDK reads their body. Others (408, 429, 5xx) are repeated. */
const answers = Array.from({ length: 200 }, (_, at) => 300 + at).filter(
  (status) => status !== 408 && status !== 429,
);

/**
 * Errors that ask to slow down, most of them with status 400; from
 * https://github.com/smithy-lang/smithy-typescript/blob/main/packages/service-error-classification/src/constants.ts
 */
const throttles = new Set([
  'BandwidthLimitExceeded',
  'EC2ThrottledException',
  'PriorRequestNotComplete',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'SlowDown',
  'ThrottledException',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
]);

/**
 * The name of an error, without namespace and address, in each protocol's place for it:
 * https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
 */
function errorName(response: Pick<HttpResponse, 'header' | 'body'>): string | undefined {
  const body = response.body.subarray(0, 4096).toString('utf8');
  const named =
    response.header('x-amzn-errortype') ??
    /"(?:__type|code)"\s*:\s*"([^"]+)"/.exec(body)?.[1] ??
    /<Code>([^<]+)<\/Code>/.exec(body)?.[1];
  return named?.split(':')[0]?.split('#').at(-1);
}

/** For `context.http()`: a 400 may be a throttle. */
export function judge(response: HttpResponse): FailureReason | undefined {
  if (response.status < 400) return undefined;
  return throttles.has(errorName(response) ?? '') ? 'throttled' : undefined;
}

/** STS is asked with forms and answers with XML. */
const formType = 'application/x-www-form-urlencoded';

/** The API's word for what is asked: from the header of the JSON protocol, the form of the query protocol, or the path. */
function operationOf({ headers, body, path }: SdkRequest): string {
  const target = headers['x-amz-target'];
  if (target !== undefined) return target.slice(target.lastIndexOf('.') + 1);
  if (headers['content-type'] === formType) return new URLSearchParams(String(body)).get('Action') ?? 'query';
  if (path === '/coverage/list') return 'ListCoverage';
  if (path === '/findings/aggregation/list') return 'ListFindingAggregations';
  return 'other';
}

/** Operations of Inspector and Service Quotas. */
const aside = new Set(['ListCoverage', 'ListFindingAggregations', 'ListServiceQuotas']);

function urlOf({ protocol, hostname, port, path, query }: SdkRequest): URL {
  const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`);
  for (const [name, value] of Object.entries(query ?? {}))
    for (const part of Array.isArray(value) ? value : [value]) url.searchParams.append(name, part ?? '');
  return url;
}

/** Headers as the SDK takes them: each once. */
function headersOf(response: HttpResponse): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers))
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  return headers;
}

/** Answers from this size on are read one in a turn of the event loop, however many came at once. */
const largeBytes = 65_536;
let lastTurn: Promise<void> = Promise.resolve();
function ownTurn(): Promise<void> {
  lastTurn = lastTurn.then(() => nextTurn());
  return lastTurn;
}

export function createTransport(config: Pick<EcrOptions, 'profile' | 'endpoint'>): Transport {
  let http: HttpClient | undefined;
  async function send(client: HttpClient, request: SdkRequest, operation: string): Promise<SdkResponse> {
    const sign = signatures.get(request);
    const response = await client.request({
      method: request.method === 'GET' ? 'GET' : 'POST',
      url: urlOf(request),
      headers: sign ? async () => (await sign()).headers : request.headers,
      body: request.body,
      operation,
      aside: aside.has(operation),
      accept: answers,
      // Everything that is asked only reads, or makes credentials.
      idempotent: true,
    });
    const { status: statusCode, body } = response;
    const headers = headersOf(response);
    if (body.length >= largeBytes) await ownTurn();
    const isJson = statusCode < 300 && request.headers['content-type'] !== formType;
    return { operation, statusCode, headers, body, ...(isJson && { json: json(response, z.unknown()) }) };
  }
  const signatures = new WeakMap<SdkRequest, () => Promise<SdkRequest>>();
  return {
    use(lent) {
      http = lent;
    },
    signLate({ config }) {
      const { httpAuthSchemes = [] } = config as { httpAuthSchemes?: { signer: Signer }[] };
      for (const scheme of httpAuthSchemes) {
        const { signer } = scheme;
        scheme.signer = {
          async sign(request, identity, properties) {
            signatures.set(request, () => signer.sign(request, identity, properties));
            return request;
          },
          // These learn the difference between the clocks.
          errorHandler: signer.errorHandler,
          successHandler: signer.successHandler,
        };
      }
    },
    requestHandler: {
      async handle(request) {
        if (!http) throw new Error('no cycle lends its HTTP client');
        const client = http;
        const operation = operationOf(request);
        try {
          return { response: await send(client, request, operation) };
        } catch (error) {
          throw error instanceof CollectError ? named(error, operation, config) : error;
        }
      },
    },
  };
}
