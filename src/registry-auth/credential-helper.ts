import { spawn } from 'node:child_process';
import { z } from 'zod';
import { CollectError } from '../errors.ts';
import type { Credentials } from './credentials.ts';

/** A helper that asks a person for a password would wait for ever. */
const timeoutMs = 10_000;
const longestAnswer = 65_536;
/** How long an answer serves: a helper is a process, and is not started for each request. */
const keptMs = 30_000;

const answer = z.object({ Username: z.string(), Secret: z.string().min(1) });
const kept = new Map<
  string,
  { readonly at: number; readonly credentials: Promise<Credentials | undefined> }
>();

/** Helpers are named by what follows `docker-credential-`; anything with a slash would be another program. */
export const isHelperName = (name: string): boolean => /^[\w.-]+$/.test(name);

/** Runs the helper and gives what it wrote; empty: it knows of no credentials. What it wrote is repeated in no error. */
function run(program: string, server: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) =>
      reject(new CollectError('auth', `the credential helper ${program} ${why}, asked for ${server}`));
    // A group of its own, so that what it started ends with it.
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    const end = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {}
    };
    const timer = setTimeout(() => {
      end();
      fail(`did not answer within ${timeoutMs / 1000} s`);
    }, timeoutMs);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      if (text.length <= longestAnswer) return;
      end();
      fail(`answered with more than ${longestAnswer} characters`);
    });
    child.on('error', ({ code }: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      fail(code === 'ENOENT' ? 'is not on the PATH' : `cannot be run (${code})`);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve(text);
      else if (/credentials not found/.test(text)) resolve('');
      else fail(`ended with ${code ?? signal}`);
    });
    // A program may end without reading its input: its exit status says why.
    child.stdin.on('error', () => {});
    child.stdin.end(server);
  });
}

async function ask(program: string, server: string): Promise<Credentials | undefined> {
  const text = await run(program, server);
  if (text === '') return undefined;
  try {
    const { Username, Secret } = answer.parse(JSON.parse(text));
    return Username === '<token>' ? { identityToken: Secret } : { username: Username, password: Secret };
  } catch {
    throw new CollectError(
      'auth',
      `the credential helper ${program} answered something else than JSON with Username and Secret, asked for ${server}`,
    );
  }
}

/**
 * Asks one of docker's credential helpers.
 * https://github.com/docker/docker-credential-helpers#development
 * @returns undefined when it has no credentials of the server
 * @throws CollectError `auth`, naming the helper, when it does not answer
 */
export function helperCredentials(name: string, server: string): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  const key = JSON.stringify([program, server]);
  const entry = kept.get(key);
  if (entry && performance.now() - entry.at < keptMs) return entry.credentials;
  const credentials = ask(program, server);
  // Callers await it; one that stops waiting must not leave an unhandled rejection.
  credentials.catch(() => {});
  kept.set(key, { at: performance.now(), credentials });
  return credentials;
}
