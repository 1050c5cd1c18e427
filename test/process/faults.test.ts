import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const faults = JSON.stringify(join(import.meta.dirname, '../../src/faults.ts'));

/** Runs a program in which something goes wrong that nobody catches; gives the lines that it wrote, and its code. */
function run(wrong: string) {
  const program = `
    import { EventEmitter } from 'node:events';
    import { watchFaults } from ${faults};
    const line = (level) => ({ err }, message) => console.log(level + ' ' + message + ': ' + err.message);
    watchFaults({ error: line('error'), debug: line('debug') }, () => process.exit(1));
    setTimeout(() => console.log('goes on'), 300);
    ${wrong}`;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  return { lines: stdout.trim().split('\n'), status };
}

test('a promise that failed with nobody waiting for it is told once, and everything goes on', () => {
  const { lines, status } = run(
    `for (let count = 0; count < 3; count += 1) void Promise.reject(new Error('stray'));`,
  );
  expect(lines.map((line) => line.replace(/: this is a fault.*: /, ' ... '))).toEqual([
    'error something failed that nobody waited for ... stray',
    'debug something failed that nobody waited for ... stray',
    'debug something failed that nobody waited for ... stray',
    'goes on',
  ]);
  expect(status).toBe(0);
});

test('a connection that broke with nobody listening is told, and everything goes on', () => {
  const { lines, status } = run(
    `setTimeout(() => new EventEmitter().emit('error', Object.assign(new Error('reset'), { code: 'ECONNRESET' })));`,
  );
  expect(lines).toEqual([
    'error a connection broke that nobody listened to: this is a fault of the exporter, which goes on: reset',
    'goes on',
  ]);
  expect(status).toBe(0);
});

test('any other exception is told, and the process ends', () => {
  const { lines, status } = run(`setTimeout(() => { throw new TypeError('x is undefined'); });`);
  expect(lines).toEqual([
    'error an exception that nobody caught: this is a fault of the exporter, which ends: x is undefined',
  ]);
  expect(status).toBe(1);
});
