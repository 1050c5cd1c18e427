import { type DestinationStream, pino } from 'pino';
import { keptFields, keptMessage } from './names.ts';
import type { Logger } from './provider.ts';

/** How much is logged, the most first. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** A logger that can be bound to a registry. */
export interface RootLogger extends Logger {
  child(bindings: Readonly<Record<string, string>>): Logger;
}

/** Control and directional characters let untrusted text forge lines or hide itself in a terminal. */
const escaped = (json: string): string =>
  json.replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

const word = (value: unknown): string => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return /^[\w.:/@+-]+$/.test(text) ? text : escaped(JSON.stringify(text));
};

/** One line of logfmt from one line of JSON. */
export function toLogfmt(line: string): string {
  const { time, level, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const fields: [string, unknown][] = [['ts', time], ['level', level], ['msg', msg], ...Object.entries(rest)];
  if (err && typeof err === 'object') fields.push(['err', (err as { message?: unknown }).message]);
  return `${fields
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${word(value)}`)
    .join(' ')}\n`;
}

/** A longer stack begins with a message that somebody else wrote. */
const longestStack = 10_000;

/** Errors as their message and those of their causes; stacks only of faults of the exporter itself. */
function serializeError(error: unknown): { message: string; stack?: string } {
  if (!(error instanceof Error)) return { message: keptMessage(String(error)) };
  const messages: string[] = [];
  for (
    let cause: unknown = error, depth = 0;
    cause instanceof Error && depth < 4;
    cause = cause.cause, depth += 1
  )
    if (cause.message && !messages.some((message) => message.includes((cause as Error).message)))
      messages.push(cause.message);
  const own = error.name === 'CollectError' || error.name === 'ConfigError';
  const message = messages.join(': ');
  return {
    // What is wrong with the configuration is all of it worth reading, and the exporter's own words.
    message: error.name === 'ConfigError' ? message : keptMessage(message),
    ...(!own && error.stack !== undefined && error.stack.length < longestStack && { stack: error.stack }),
  };
}

/** Logs lines to a stream. */
export function createLogger(options: {
  readonly level: LogLevel;
  readonly format: 'logfmt' | 'json';
  readonly stream: { write(text: string): unknown };
}): RootLogger {
  const { stream } = options;
  const format = options.format === 'json' ? escaped : toLogfmt;
  const destination: DestinationStream = { write: (line) => void stream.write(format(line)) };
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        // Names and answers from outside: one must not fill the disk.
        log: (fields) => keptFields(fields) as Record<string, unknown>,
      },
      serializers: { err: serializeError },
    },
    destination,
  );
}
