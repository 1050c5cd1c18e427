import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A queue of SQS and the lookups of CloudTrail, by their JSON protocols:
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html and
 * https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
 */
export interface AwsEventsSimulator {
  readonly url: string;
  /** The address of the queue. */
  readonly queue: string;
  /** Requests by operation. */
  readonly requests: Map<string, number>;
  send(body: unknown): void;
  /** Messages that were not deleted. */
  waiting(): number;
  /** Records a call; with `lateMs` it can be looked up only after that. */
  record(call: RecordedCall): void;
  /** What the next requests of an operation are answered with, in place of the truth. */
  readonly refusals: { readonly operation: string; readonly status: number; readonly type: string }[];
  /** Deletions are answered with a failure for each message, as SQS does for old receipts. */
  keepsMessages: boolean;
  /** What the next `ReceiveMessage` is answered with, in place of messages. */
  odd: object | undefined;
  close(): Promise<void>;
}

export interface RecordedCall {
  readonly id: string;
  readonly name: string;
  readonly error?: string;
  readonly repository?: string;
  /** Before now. */
  readonly secondsAgo?: number;
  readonly lateMs?: number;
}

interface Message {
  readonly id: string;
  readonly body: string;
  visibleAt: number;
  receipt: string;
}

export interface AwsEventsOptions {
  readonly visibilityMs?: number;
  /** Calls of a page at most, whatever is asked. */
  readonly pageSize?: number;
  /** An empty queue answers at once, whatever is asked. */
  readonly neverWaits?: boolean;
  /** Lookups a second; others are throttled. CloudTrail allows two. */
  readonly lookupsPerSecond?: number;
}

type Answer = { readonly status?: number; readonly body: object };
const refusal = (status: number, type: string, message = type): Answer => ({
  status,
  body: { __type: type, message },
});
/** As IAM words it. */
const denied = (operation: string): string =>
  `User: arn:aws:iam::123456789012:user/exporter is not authorized to perform: sqs:${operation.toLowerCase()} on resource: arn:aws:sqs:us-east-1:123456789012:exporter because no identity-based policy allows the sqs:${operation.toLowerCase()} action`;

/** Messages, each of which is given again unless it is deleted in time. */
function createQueue({ visibilityMs = 30_000, neverWaits }: AwsEventsOptions, keeps: () => boolean) {
  const messages: Message[] = [];
  let number = 0;
  return {
    messages,
    send(body: string) {
      number += 1;
      messages.push({ id: `message-${number}`, body, visibleAt: 0, receipt: '' });
    },
    async receive({ MaxNumberOfMessages = 1, WaitTimeSeconds = 0 }): Promise<Answer> {
      const until = Date.now() + (neverWaits ? 0 : Math.min(WaitTimeSeconds * 1000, 300));
      for (;;) {
        const now = Date.now();
        const visible = messages.filter(({ visibleAt }) => visibleAt <= now).slice(0, MaxNumberOfMessages);
        if (visible.length > 0 || now >= until) {
          for (const message of visible) {
            message.visibleAt = now + visibilityMs;
            message.receipt = `${message.id}-${now}`;
          }
          const found = visible.map(({ id, body, receipt }) => ({
            MessageId: id,
            Body: body,
            MD5OfBody: createHash('md5').update(body).digest('hex'),
            ReceiptHandle: receipt,
          }));
          return { body: found.length > 0 ? { Messages: found } : {} };
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    delete({ Entries }: { Entries: { Id: string; ReceiptHandle: string }[] }): Answer {
      if (keeps())
        return {
          body: {
            Successful: [],
            Failed: Entries.map(({ Id }) => ({ Id, Code: 'ReceiptHandleIsInvalid', SenderFault: true })),
          },
        };
      for (const { ReceiptHandle } of Entries) {
        const at = messages.findIndex(({ receipt }) => receipt === ReceiptHandle);
        if (at >= 0) messages.splice(at, 1);
      }
      return { body: { Successful: Entries.map(({ Id }) => ({ Id })) } };
    },
  };
}

/** Calls, the newest first, page by page. */
function createTrail({ pageSize = 50, lookupsPerSecond }: AwsEventsOptions) {
  const calls: { readonly at: number; readonly visibleAt: number; readonly call: RecordedCall }[] = [];
  let bucket = lookupsPerSecond ?? 0;
  let filledAt = Date.now();
  const allowed = (): boolean => {
    if (lookupsPerSecond === undefined) return true;
    bucket = Math.min(lookupsPerSecond, bucket + ((Date.now() - filledAt) / 1000) * lookupsPerSecond);
    filledAt = Date.now();
    if (bucket < 1) return false;
    bucket -= 1;
    return true;
  };
  return {
    record: (call: RecordedCall) =>
      void calls.push({
        at: Date.now() / 1000 - (call.secondsAgo ?? 0),
        visibleAt: Date.now() + (call.lateMs ?? 0),
        call,
      }),
    lookup(input: {
      LookupAttributes: { AttributeKey: string; AttributeValue: string }[];
      StartTime: number;
      EndTime: number;
      MaxResults: number;
      NextToken?: string;
    }): Answer {
      if (!allowed()) return refusal(400, 'ThrottlingException');
      const [attribute] = input.LookupAttributes;
      const fits = calls
        .filter(({ call, at, visibleAt }) =>
          [
            attribute?.AttributeKey === 'EventName' && call.name === attribute.AttributeValue,
            at >= Math.floor(input.StartTime) && at <= input.EndTime + 1,
            visibleAt <= Date.now(),
          ].every(Boolean),
        )
        .toSorted((a, b) => b.at - a.at);
      const start = Number(input.NextToken ?? 0);
      const end = start + Math.min(pageSize, input.MaxResults);
      const Events = fits.slice(start, end).map(({ at, call }) => ({
        EventId: call.id,
        EventName: call.name,
        EventTime: at,
        EventSource: 'ecr.amazonaws.com',
        CloudTrailEvent: JSON.stringify({
          eventID: call.id,
          eventName: call.name,
          eventSource: 'ecr.amazonaws.com',
          requestParameters: { repositoryName: call.repository ?? 'app', imageTag: 'v1' },
          ...(call.error && { errorCode: call.error, errorMessage: 'refused' }),
        }),
      }));
      return { body: { Events, ...(end < fits.length && { NextToken: String(end) }) } };
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of request) text += String(piece);
  return text;
}

export async function startAwsEvents(options: AwsEventsOptions = {}): Promise<AwsEventsSimulator> {
  const requests = new Map<string, number>();
  const refusals: AwsEventsSimulator['refusals'] = [];
  const state: { keepsMessages: boolean; odd: object | undefined } = { keepsMessages: false, odd: undefined };
  const queue = createQueue(options, () => state.keepsMessages);
  const trail = createTrail(options);
  const answers: Readonly<Record<string, (input: never) => Answer | Promise<Answer>>> = {
    'AmazonSQS.ReceiveMessage': queue.receive as never,
    'AmazonSQS.DeleteMessageBatch': queue.delete as never,
    'CloudTrail_20131101.LookupEvents': trail.lookup as never,
  };
  const server = createServer(async (request, response) => {
    const target = String(request.headers['x-amz-target'] ?? '').replace(
      'com.amazonaws.cloudtrail.v20131101.',
      '',
    );
    const operation = target.split('.').at(-1) ?? '';
    requests.set(operation, (requests.get(operation) ?? 0) + 1);
    const text = await bodyOf(request);
    const refused = refusals.findIndex((one) => one.operation === operation);
    const [refuse] = refused < 0 ? [] : refusals.splice(refused, 1);
    const answer = answers[target];
    const { status = 200, body } = refuse
      ? refusal(refuse.status, refuse.type, denied(operation))
      : !answer || !/^AWS4-HMAC-SHA256 Credential=/.test(request.headers.authorization ?? '')
        ? refusal(400, answer ? 'MissingAuthenticationToken' : 'UnknownOperationException')
        : operation === 'ReceiveMessage' && state.odd
          ? { body: state.odd }
          : await answer(JSON.parse(text) as never);
    response.writeHead(status, { 'content-type': request.headers['content-type'] ?? 'application/json' });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    queue: `${url}/123456789012/exporter`,
    requests,
    refusals,
    send: (body) => queue.send(typeof body === 'string' ? body : JSON.stringify(body)),
    waiting: () => queue.messages.length,
    record: trail.record,
    get odd() {
      return state.odd;
    },
    set odd(value) {
      state.odd = value;
    },
    get keepsMessages() {
      return state.keepsMessages;
    },
    set keepsMessages(value) {
      state.keepsMessages = value;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
