import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLogOutput } from '../src/log-output.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const lost = (count: number) => `${count} lost\n`;

/** Both ends of a pipe, neither of which waits. */
function pipe() {
  const path = join(folder, 'pipe');
  spawnSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  return { reader, writer };
}

test('lines come whole and in their order', async () => {
  const file = openSync(join(folder, 'log'), 'w');
  const output = createLogOutput(file, lost);
  const lines = Array.from({ length: 1000 }, (_, number) => `line ${number}\n`);
  for (const line of lines) output.write(line);
  await output.flush();
  closeSync(file);
  expect(readFileSync(join(folder, 'log'), 'utf8')).toBe(lines.join(''));
});

test('a full disk loses lines and ends nothing; how many is said when there is room again', async () => {
  const bad = openSync('/dev/full', 'w');
  const output = createLogOutput(bad, lost);
  for (let number = 0; number < 3; number += 1) {
    output.write('gone\n');
    await output.flush();
  }
  // The descriptor now leads to a file with room.
  closeSync(bad);
  const good = openSync(join(folder, 'log'), 'w');
  expect(good).toBe(bad);
  output.write('here\n');
  await output.flush();
  expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('3 lost\nhere\n');
  closeSync(good);
});

test('a pipe whose reader is gone loses lines and ends nothing', async () => {
  const { reader, writer } = pipe();
  closeSync(reader);
  const output = createLogOutput(writer, lost);
  output.write('gone\n');
  await output.flush();
  closeSync(writer);
});

test('a pipe that nobody reads holds nothing up; what it cannot take is kept up to a bound, and the rest counted', async () => {
  const { reader, writer } = pipe();
  const output = createLogOutput(writer, lost);
  const line = `${'x'.repeat(999)}\n`;
  for (let number = 0; number < 3000; number += 1) output.write(line);
  let read = '';
  const buffer = Buffer.alloc(65_536);
  let flushed = false;
  void output.flush().then(() => {
    flushed = true;
  });
  while (!flushed) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    try {
      read += buffer.toString('utf8', 0, readSync(reader, buffer));
    } catch {}
  }
  output.write('last\n');
  await output.flush();
  try {
    for (let count = 1; count > 0; ) {
      count = readSync(reader, buffer);
      read += buffer.toString('utf8', 0, count);
    }
  } catch {}
  const whole = read.split(line).length - 1;
  expect(whole).toBeGreaterThan(1000);
  expect(read.replaceAll(line, '')).toBe(`${3000 - whole} lost\nlast\n`);
  closeSync(writer);
  closeSync(reader);
});
