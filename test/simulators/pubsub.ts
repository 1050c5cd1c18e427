import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Message {
  /** As it is given. */
  readonly message: unknown;
  /** Not given again before, milliseconds. */
  hiddenUntil: number;
  ackId: string;
}

/**
 * A subscription of Pub/Sub, as far as it is pulled: at least once, with an acknowledgement deadline.
 * https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/pull and …/acknowledge
 */
export async function startPubSub(subscription: string) {
  const messages = new Map<string, Message>();
  const state = {
    ackDeadlineMs: 10_000,
    /** Acknowledgements that are refused from now on. */
    failingAcks: 0,
    /** What each pull is answered with instead. */
    answer: undefined as { readonly status: number; readonly body: string } | undefined,
    /** Requests are never answered. */
    silent: false,
    pulls: 0,
    acknowledged: 0,
  };
  const error = (code: number, status: string, message: string) =>
    JSON.stringify({ error: { code, message, status } });

  function pull(maxMessages: number): object {
    const due = [...messages.values()]
      .filter(({ hiddenUntil }) => hiddenUntil <= Date.now())
      .slice(0, maxMessages);
    for (const message of due) {
      message.hiddenUntil = Date.now() + state.ackDeadlineMs;
      message.ackId = randomUUID();
    }
    // An empty list is left out, as proto3 has it.
    return due.length === 0
      ? {}
      : {
          receivedMessages: due.map(({ ackId, message }) => ({ ackId, message })),
        };
  }

  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (data: Buffer) => (text += data.toString()));
    request.on('end', () => {
      const send = (status: number, body: string) => {
        response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8' });
        response.end(body);
      };
      const [, name, action] = /^\/v1\/(.+):(pull|acknowledge)$/.exec(request.url ?? '') ?? [];
      const body = text === '' ? {} : JSON.parse(text);
      if (request.method !== 'POST' || name !== subscription)
        return send(404, error(404, 'NOT_FOUND', `Resource not found (resource=${name}).`));
      if (action === 'pull') {
        state.pulls += 1;
        if (state.silent) return;
        if (state.answer) return send(state.answer.status, state.answer.body);
        return send(200, JSON.stringify(pull(body.maxMessages)));
      }
      if (state.failingAcks > 0) {
        state.failingAcks -= 1;
        return send(503, error(503, 'UNAVAILABLE', 'The service was unable to fulfill your request.'));
      }
      for (const [id, { ackId }] of messages)
        if (body.ackIds.includes(ackId)) {
          messages.delete(id);
          state.acknowledged += 1;
        }
      send(200, '{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    state,
    waiting: () => messages.size,
    publish(value: unknown, messageId: string = randomUUID()) {
      const data = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64');
      const message = { messageId, data, publishTime: new Date().toISOString() };
      messages.set(messageId, { message, hiddenUntil: 0, ackId: '' });
    },
    /** Messages as they are given, whatever they look like. */
    odd(all: readonly unknown[]) {
      for (const message of all) messages.set(randomUUID(), { message, hiddenUntil: 0, ackId: '' });
    },
    close() {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
