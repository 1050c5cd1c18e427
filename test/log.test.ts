import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../src/config/document.ts';
import { CollectError } from '../src/errors.ts';
import { createLogger, toLogfmt } from '../src/log.ts';

const line = (fields: object) =>
  toLogfmt(JSON.stringify({ time: 'T', level: 'info', msg: 'hello', ...fields }));

function logged(format: 'logfmt' | 'json', write: (log: ReturnType<typeof createLogger>) => void): string {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  write(createLogger({ level: 'info', format, stream }));
  return text;
}

describe('logfmt', () => {
  test.each([
    [{ registry: 'edge', seconds: 1.5 }, 'ts=T level=info msg=hello registry=edge seconds=1.5\n'],
    [{ name: 'two words' }, 'ts=T level=info msg=hello name="two words"\n'],
    [{ name: 'a"b=c' }, 'ts=T level=info msg=hello name="a\\"b=c"\n'],
    [{ name: '' }, 'ts=T level=info msg=hello name=""\n'],
    [{ names: ['a', 'b'] }, 'ts=T level=info msg=hello names="[\\"a\\",\\"b\\"]"\n'],
  ])('%j', (fields, expected) => {
    expect(line(fields)).toBe(expected);
  });

  test('nothing in a value forges a line or hides in a terminal', () => {
    for (const bad of ['a\nlevel=error', 'a\r', '\u001b[31m', '\u0085', '\u2028', '\u202eabc', '\u2066'])
      expect(line({ name: bad })).toMatch(/^[\u0020-\u007e]+\n$/);
  });
});

test('in JSON neither, and the value comes back as it was', () => {
  const name = 'a\nlevel=error\r\u001b[31m\u0085\u2028\u202eabc\u2066"\\';
  const text = logged('json', (log) => log.info({ name }, 'hello'));
  expect(text).toMatch(/^[\u0020-\u007e]+\n$/);
  expect(JSON.parse(text)).toMatchObject({ name, level: 'info', msg: 'hello' });
});

describe('errors', () => {
  const failing = new CollectError('connect', 'GET https://r.example.com/v2/: broke', {
    cause: new Error('ECONNRESET'),
  });

  test('are their messages and causes, without a stack', () => {
    const text = logged('logfmt', (log) => log.error({ err: failing }, 'the poll failed'));
    expect(text).toMatch(
      /level=error msg="the poll failed" err="GET https:\/\/r\.example\.com\/v2\/: broke: ECONNRESET"\n$/,
    );
  });

  test('have a stack where they are a fault of the exporter', () => {
    const [first = ''] = logged('json', (log) => log.error({ err: new TypeError('x') }, 'broke')).split('\n');
    const { err } = JSON.parse(first) as { err: { message: string; stack: string } };
    expect(err.message).toBe('x');
    expect(err.stack).toContain('log.test.ts');
  });
});

test('a bound logger names its registry in each line, and levels below are silent', () => {
  const text = logged('logfmt', (log) => {
    const bound = log.child({ registry: 'edge' });
    bound.debug({}, 'quiet');
    bound.warn({ code: 1 }, 'loud');
  });
  expect(text).toMatch(/^ts=\S+ level=warn msg=loud registry=edge code=1\n$/);
});

test.each(['logfmt', 'json'] as const)(
  'names and errors from outside are cut in %s, what is wrong with the configuration is not',
  (format) => {
    const long = 'x'.repeat(500_000);
    const cut = logged(format, (log) => log.warn({ repository: long, err: new Error(long) }, 'a repository'));
    expect(cut.length).toBeLessThan(2500);
    expect(cut).toContain(`${'x'.repeat(1000)}…`);
    const problems = new ConfigError([{ message: long.slice(0, 5000) } as never]);
    expect(logged(format, (log) => log.error({ err: problems }, 'refused')).length).toBeGreaterThan(5000);
  },
);
