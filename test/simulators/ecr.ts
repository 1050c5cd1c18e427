import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRefusal, type Key, scopeOf, verify } from './aws-signature.ts';
import { AwsError, type EcrState, ecrActions } from './ecr-actions.ts';
import type { ScanMode } from './ecr-wire.ts';
import type { Estate } from './estate.ts';
import { applyFault, type FaultRule, matchingRule } from './faults.ts';
import { inspectorActions } from './inspector.ts';
import { serviceQuotasActions } from './service-quotas.ts';
import { answerSts, type StsState } from './sts.ts';

/**
 * AWS at one address: ECR, Inspector, Service Quotas and STS, told apart by what a request is signed for. Errors are
 * those of https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
 */
export interface EcrSimulatorOptions {
  readonly estate: Estate;
  readonly mode?: ScanMode;
  readonly scanRules?: readonly string[];
  readonly threeSeverities?: boolean;
  readonly region?: string;
  readonly account?: string;
  readonly pageSize?: number;
  readonly endlessPaging?: 'same' | 'cycle';
  readonly port?: number;
  /** How far the time of a signature may be off. */
  readonly skewMs?: number;
  /** How far AWS' clock is ahead. */
  readonly clockAheadMs?: number;
  readonly latencyMs?: number;
  /** A bucket of so many requests to ECR per second; none for no limit. */
  readonly perSecond?: number;
}

export interface EcrSimulator extends EcrState {
  readonly url: string;
  readonly port: number;
  readonly faults: FaultRule[];
  /** Requests by operation. */
  readonly requests: Map<string, number>;
  /** Actions that are refused, such as `inspector2:ListCoverage`. */
  readonly denied: Set<string>;
  readonly quotas: Map<string, number>;
  readonly sts: StsState;
  /** A user's key that is good for ever. */
  readonly key: Key;
  /** A role that the user may assume. */
  readonly roleArn: string;
  /** Inputs of the requests to ECR, as long as they are kept. */
  readonly inputs: { readonly operation: string; readonly input: Readonly<Record<string, unknown>> }[];
  /** Most requests at once, and all that were refused to slow down. */
  readonly load: { most: number; throttled: number };
  expireTokens(olderThanMs?: number): void;
  close(): Promise<void>;
}

const targets: Readonly<Record<string, string>> = {
  AmazonEC2ContainerRegistry_V20150921: 'ecr',
  ServiceQuotasV20190624: 'servicequotas',
};
const iamNames: Readonly<Record<string, string>> = {
  ecr: 'ecr',
  servicequotas: 'servicequotas',
  inspector2: 'inspector2',
};

interface Asked {
  readonly service: string;
  readonly operation: string;
  readonly input: Readonly<Record<string, unknown>>;
}

function askedOf(request: IncomingMessage, body: Buffer): Asked {
  const target = String(request.headers['x-amz-target'] ?? '');
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  const parse = (): Record<string, unknown> => {
    try {
      return JSON.parse(body.toString());
    } catch {
      throw new AwsError('SerializationException', 'Start of structure or map found where not expected.');
    }
  };
  if (target) {
    const [prefix = '', operation = ''] = target.split('.');
    const service = targets[prefix];
    if (!service || request.headers['content-type'] !== 'application/x-amz-json-1.1')
      throw new AwsError('UnknownOperationException', `unknown target ${target}`);
    return { service, operation, input: parse() };
  }
  if (request.headers['content-type'] === 'application/x-www-form-urlencoded')
    return { service: 'sts', operation: new URLSearchParams(body.toString()).get('Action') ?? '', input: {} };
  const found = inspectorActions[path];
  if (!found) throw new AwsError('UnknownOperationException', `unknown path ${path}`, 404);
  return { service: 'inspector2', operation: found.name, input: parse() };
}

/** An error as each protocol writes it. */
function refuse(
  response: ServerResponse,
  service: string,
  error: AwsError,
  headers: Record<string, string> = {},
): void {
  const { name, message } = error;
  if (service === 'sts') {
    const code = name.replace(/Exception$/, '');
    const mapped =
      { UnrecognizedClient: 'InvalidClientTokenId', InvalidSignature: 'SignatureDoesNotMatch' }[code] ?? code;
    response.writeHead(error.status === 400 ? 403 : error.status, { 'content-type': 'text/xml', ...headers });
    response.end(
      `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${mapped}</Code><Message>${message}</Message></Error></ErrorResponse>`,
    );
    return;
  }
  if (service === 'inspector2') {
    const status = { AccessDeniedException: 403, ThrottlingException: 429 }[name] ?? error.status;
    response.writeHead(status, { 'content-type': 'application/json', 'x-amzn-errortype': name, ...headers });
    response.end(JSON.stringify({ message }));
    return;
  }
  response.writeHead(error.status, { 'content-type': 'application/x-amz-json-1.1', ...headers });
  // With the namespace, as some services have it.
  const type = service === 'servicequotas' ? `com.amazonaws.servicequotas#${name}` : name;
  response.end(JSON.stringify({ __type: type, message }));
}

export async function startEcrSimulator(options: EcrSimulatorOptions): Promise<EcrSimulator> {
  const {
    account = '123456789012',
    region = 'us-east-1',
    latencyMs = 0,
    perSecond,
    clockAheadMs = 0,
  } = options;
  const since = Date.now();
  const atAws = () => Date.now() + clockAheadMs;
  const key: Key = {
    accessKeyId: 'AKIASIMULATEDKEY0000',
    secretAccessKey: 'simulated/Secret+Key0123456789abcdefghij',
    principal: `arn:aws:iam::${account}:user/exporter`,
    since,
  };
  const roleArn = `arn:aws:iam::${account}:role/registry-reader`;
  const sts: StsState = {
    account,
    keys: new Map([[key.accessKeyId, key]]),
    roles: new Map([[roleArn, {}]]),
    webTokens: new Set(),
    tokenSeconds: 3600,
    seen: [],
  };
  let bucket = perSecond ?? 0;
  let filledAt = performance.now();
  let running = 0;

  const simulator = {
    estate: options.estate,
    account,
    region,
    mode: options.mode ?? 'clair',
    scanRules: options.scanRules ?? [],
    threeSeverities: options.threeSeverities ?? false,
    pageSize: options.pageSize ?? 1000,
    endlessPaging: options.endlessPaging,
    overrides: new Map(),
    turn: 0,
    url: '',
    port: 0,
    faults: [] as FaultRule[],
    requests: new Map<string, number>(),
    denied: new Set<string>(),
    quotas: new Map([
      ['L-CFEB8E8D', 100_000],
      ['L-03A36CE1', 50_000],
      ['L-6EF7FC96', 50],
    ]),
    sts,
    key,
    roleArn,
    inputs: [] as { operation: string; input: Readonly<Record<string, unknown>> }[],
    load: { most: 0, throttled: 0 },
  };

  /** Whether the request is one too many. */
  function isTooMuch(): boolean {
    if (perSecond === undefined) return false;
    const now = performance.now();
    bucket = Math.min(perSecond, bucket + ((now - filledAt) / 1000) * perSecond);
    filledAt = now;
    if (bucket < 1) return true;
    bucket -= 1;
    return false;
  }

  function authenticate(request: IncomingMessage, body: Buffer, service: string): Key {
    const { skewMs } = options;
    const verdict = verify(request, body, {
      region,
      service,
      keys: sts.keys,
      now: atAws(),
      ...(skewMs !== undefined && { skewMs }),
    });
    if (isRefusal(verdict)) throw new AwsError(verdict.name, verdict.message);
    return verdict;
  }

  /** @returns whether a fault was answered in AWS's own way */
  function vendorFault(asked: Asked, response: ServerResponse, principal: string): boolean {
    const repository = asked.input['repositoryName'] as string | undefined;
    const rule = matchingRule(simulator.faults, { operation: asked.operation, repository });
    const { fault } = rule ?? {};
    if (fault?.type !== 'throttle' && (fault?.type !== 'status' || fault.body !== undefined)) return false;
    if (rule?.times !== undefined) rule.times -= 1;
    const { service, operation } = asked;
    if (fault.type === 'throttle')
      refuse(response, service, new AwsError('ThrottlingException', 'Rate exceeded'), {
        ...(fault.retryAfter !== undefined && { 'retry-after': fault.retryAfter }),
      });
    else if (fault.status === 403) refuse(response, service, denial(service, operation, principal));
    else
      refuse(response, service, new AwsError('ServerException', 'An internal error occurred', fault.status));
    return true;
  }

  const denial = (service: string, operation: string, principal: string): AwsError => {
    const action = `${iamNames[service] ?? service}:${operation}`;
    return new AwsError(
      'AccessDeniedException',
      `User: ${principal} is not authorized to perform: ${action} on resource: * because no identity-based policy allows the ${action} action`,
    );
  };

  function run({ service, operation, input }: Asked): object {
    if (service === 'ecr') {
      const action = ecrActions[operation];
      if (!action) throw new AwsError('UnknownOperationException', `unknown operation ${operation}`);
      return action(simulator, input);
    }
    if (service === 'servicequotas') {
      const action = serviceQuotasActions[operation];
      if (!action) throw new AwsError('UnknownOperationException', `unknown operation ${operation}`);
      return action(simulator.quotas, input);
    }
    const action = Object.values(inspectorActions).find(({ name }) => name === operation);
    if (!action) throw new AwsError('UnknownOperationException', `unknown operation ${operation}`);
    return action.run(simulator, input);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces);
    let service = scopeOf(request) ?? 'ecr';
    try {
      const asked = askedOf(request, body);
      service = asked.service;
      const { operation, input } = asked;
      simulator.requests.set(operation, (simulator.requests.get(operation) ?? 0) + 1);
      if (simulator.inputs.length < 10_000) simulator.inputs.push({ operation, input });
      if (latencyMs > 0) await sleep(latencyMs);
      const unsigned = operation === 'AssumeRoleWithWebIdentity';
      const signer = unsigned ? undefined : authenticate(request, body, service);
      const principal = signer?.principal ?? '';
      if (service === 'ecr' && isTooMuch()) {
        simulator.load.throttled += 1;
        throw new AwsError('ThrottlingException', 'Rate exceeded');
      }
      if (vendorFault(asked, response, principal)) return;
      const repository = input['repositoryName'] as string | undefined;
      if (await applyFault(simulator.faults, { operation, repository }, request, response, '')) return;
      if (simulator.denied.has(`${iamNames[service]}:${operation}`))
        throw denial(service, operation, principal);
      if (service === 'sts') {
        const xml = answerSts(sts, new URLSearchParams(body.toString()), signer);
        response.writeHead(200, { 'content-type': 'text/xml' });
        response.end(xml);
        return;
      }
      const result = JSON.stringify(run(asked));
      response.writeHead(200, {
        'content-type': service === 'inspector2' ? 'application/json' : 'application/x-amz-json-1.1',
      });
      response.end(result);
    } catch (error) {
      if (response.headersSent) return void response.destroy();
      const known = error instanceof AwsError ? error : new AwsError('ServerException', String(error), 500);
      refuse(response, service, known);
    }
  }

  const server = createServer((request, response) => {
    running += 1;
    response.setHeader('date', new Date(atAws()).toUTCString());
    simulator.load.most = Math.max(simulator.load.most, running);
    response.once('close', () => {
      running -= 1;
    });
    void answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(simulator, {
    url: `http://127.0.0.1:${port}`,
    port,
    expireTokens(olderThanMs = 0) {
      for (const [id, one] of sts.keys)
        if (one.expiresAt !== undefined && Date.now() - one.since >= olderThanMs)
          sts.keys.set(id, { ...one, expiresAt: 0 });
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  }) as EcrSimulator;
}
