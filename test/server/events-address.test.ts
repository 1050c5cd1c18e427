import express from 'express';
import { expect, test } from 'vitest';
import { createEventsApp } from '../../src/server.ts';
import { recordingLog } from '../support/web.ts';

test('an address of push events takes those and nothing else, and asks who sends', async () => {
  const events = express.Router();
  events.post('/edge', (_request, response) => void response.status(202).end());
  const { log } = recordingLog();
  const app = createEventsApp({
    events,
    log: log as never,
    web: (request, response, next) =>
      request.get('authorization') ? next() : void response.status(401).end(),
  });
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const statusOf = async (
    path: string,
    method = 'GET',
    headers: Record<string, string> = { authorization: 'x' },
  ) => (await fetch(`http://127.0.0.1:${port}${path}`, { method, headers })).status;
  expect(await statusOf('/events/edge', 'POST')).toBe(202);
  expect(await statusOf('/events/edge', 'POST', {})).toBe(401);
  for (const path of ['/metrics', '/', '/api/v1/status', '/-/healthy', '/-/reload', '/events/../metrics'])
    expect([path, await statusOf(path)]).toEqual([path, 404]);
  server.close();
});
