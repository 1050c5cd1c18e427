import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What can be made to go wrong, for any vendor's simulator. A simulator answers `throttle`, and a `status` without a
 * body, in its vendor's own way: AWS throttles and refuses with a 400, gRPC with status codes of its own.
 */
export type Fault =
  | { readonly type: 'throttle'; readonly retryAfter?: string }
  | {
      readonly type: 'status';
      readonly status: number;
      readonly body?: string;
      readonly contentType?: string;
    }
  | { readonly type: 'slow'; readonly ms: number }
  /** Never ends: nothing at all, headers only, or a byte now and then. */
  | { readonly type: 'stall'; readonly at: 'before-headers' | 'before-body' | 'drip' }
  /** Breaks the connection in the middle of the body. */
  | { readonly type: 'cut' }
  /** 200 with another body. */
  | { readonly type: 'body'; readonly body: string }
  /** A body that is shorter than its Content-Length says. */
  | { readonly type: 'length'; readonly body: string; readonly length: number };

/** A fault, and which requests it is for. */
export interface FaultRule {
  readonly fault: Fault;
  readonly operation?: string;
  readonly repository?: string;
  /** So often; without end when absent. */
  times?: number;
}

/** What a request is, as far as rules ask. */
export interface Faulty {
  readonly operation: string;
  readonly repository: string | undefined;
}

/** The first rule that fits. */
export const matchingRule = (rules: readonly FaultRule[], request: Faulty): FaultRule | undefined =>
  rules.find(
    (one) =>
      (one.times === undefined || one.times > 0) &&
      (one.operation === undefined || one.operation === request.operation) &&
      (one.repository === undefined || one.repository === request.repository),
  );

/** Applies the first rule that fits. @returns whether the request was answered (or is to stay without an answer) */
export async function applyFault(
  rules: FaultRule[],
  request: Faulty,
  incoming: IncomingMessage,
  response: ServerResponse,
  throttleBody: string,
): Promise<boolean> {
  const rule = matchingRule(rules, request);
  if (!rule) return false;
  if (rule.times !== undefined) rule.times -= 1;
  const { fault } = rule;
  switch (fault.type) {
    case 'throttle':
      response.writeHead(429, {
        'content-type': 'application/json',
        ...(fault.retryAfter !== undefined && { 'retry-after': fault.retryAfter }),
      });
      response.end(throttleBody);
      return true;
    case 'status':
      response.writeHead(fault.status, { 'content-type': fault.contentType ?? 'application/json' });
      response.end(fault.body ?? '{"errors":[{"code":"UNKNOWN","message":"simulated"}]}');
      return true;
    case 'slow':
      await sleep(fault.ms);
      return false;
    case 'stall': {
      if (fault.at === 'before-headers') return true;
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000000' });
      response.flushHeaders();
      if (fault.at === 'drip') {
        const timer = setInterval(() => response.write(' '), 100);
        incoming.socket.once('close', () => clearInterval(timer));
      }
      return true;
    }
    case 'cut':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"repositories":["a"');
      setTimeout(() => incoming.socket.destroy(), 20);
      return true;
    case 'length':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(fault.length) });
      response.write(fault.body);
      setTimeout(() => incoming.socket.end(), 10);
      return true;
    case 'body':
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(fault.body);
      return true;
  }
}
