import { z } from 'zod';
import { CollectError } from './errors.ts';
import { firstRealTime, isPastTime } from './times.ts';
import { createYielder } from './yielding.ts';

/**
 * Schemas for what comes from outside. A server that is odd in one place is read in all others: an element of a list
 * that cannot be understood is left out, an optional field of another type is unknown. Both are reported to whoever
 * parses (see {@link parseWire}), so that nothing is missing silently. Only what an answer cannot do without, such as
 * the list itself, makes it an invalid answer.
 */

/** Something in an answer that could not be understood and was left out. */
export interface Oddity {
  /** Where it stood, such as `imageDetails[3]` or `sizeBytes`. */
  readonly at: string;
  /** What was wrong, without the value itself: it is untrusted and may be large or secret. */
  readonly problem: string;
}

/**
 * Lists are cut short nowhere: a longer one is refused as a whole, since looking at all of it in one piece would hold
 * the event loop. Registries' largest pages have some 10,000; longer lists are read by {@link readElements}.
 */
export const longestList = 20_000;
/** Names, digests, tags and addresses are shorter; longer texts are no such thing. */
const longestText = 4_096;

/** Set while an answer is parsed. Parsing is synchronous, so there is one at a time. */
let report: ((oddity: Oddity) => void) | undefined;

const problemOf = (error: z.ZodError): string => {
  const [issue] = error.issues;
  const path = issue?.path.join('.') ?? '';
  return `${path && `${path}: `}${(issue?.message ?? 'invalid').slice(0, 120)}`;
};

/**
 * Parses with a schema and tells of everything that was left out.
 * @returns zod's result: a failure only where the answer as a whole cannot be understood
 */
export function parseWire<Schema extends z.ZodType>(
  value: unknown,
  schema: Schema,
  onOddity: ((oddity: Oddity) => void) | undefined,
): z.ZodSafeParseResult<z.infer<Schema>> {
  return reporting(onOddity, () => schema.safeParse(value));
}

/** Reads something while oddities are reported to the listener. */
function reporting<T>(onOddity: ((oddity: Oddity) => void) | undefined, read: () => T): T {
  const outer = report;
  report = onOddity;
  try {
    return read();
  } finally {
    report = outer;
  }
}

/** A whole number of things or bytes: 0 to 2^53 - 1; also as text, as JSON of 64-bit integers is written. */
export const count = z.preprocess(
  (value) => (typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value),
  z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
);

/** Text that is neither empty nor longer than any name, tag, digest or address. */
export const text = z.string().min(1).max(longestText);

/** Longer than a name, such as a description: cut, not refused. */
export const longText = (length = 1_000) => z.string().transform((value) => value.slice(0, length));

/**
 * A moment that has passed, from RFC 3339 text: Unix seconds. Zero values such as Go's year 1 and empty text are
 * `undefined` without a word: they say that there was no such moment.
 */
export const pastTime = z.string().transform((value, context) => {
  if (value === '') return undefined;
  const seconds = Date.parse(value) / 1000;
  if (Number.isFinite(seconds) && seconds < firstRealTime) return undefined;
  if (isPastTime(seconds)) return seconds;
  context.addIssue({
    code: 'custom',
    message: Number.isFinite(seconds) ? 'a time in the future' : 'no time',
  });
  return z.NEVER;
});

/** An object with whatever keys. Not `z.record`, which takes a tenth of a second for 100,000 of them. */
export const anyObject = z.custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'no object',
);

/** Reads a field that is there; undefined is reported. */
function read<Schema extends z.ZodType>(
  at: string,
  schema: Schema,
  value: unknown,
): z.output<Schema> | undefined {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  report?.({ at, problem: problemOf(parsed.error) });
  return undefined;
}

/** Servers in Go write an empty text for one that is not set, as Docker Hub does for the `os` of old images. */
const isUnset = (schema: z.ZodType, value: unknown): boolean =>
  value === undefined || value === null || (value === '' && schema instanceof z.ZodString);

/**
 * A field that may be absent, null, an empty text, or of a type that cannot be understood: `undefined` then, and in the
 * last case reported.
 * @param at the field's name, for the report
 */
export function optional<Schema extends z.ZodType>(at: string, schema: Schema) {
  return z
    .unknown()
    .optional()
    .transform((value) => (isUnset(schema, value) ? undefined : read(at, schema, value)));
}

type Fields = Readonly<Record<string, readonly [schema: z.ZodType, usual: unknown]>>;
type Message<Of extends Fields> = {
  -readonly [Name in keyof Of]: z.output<Of[Name][0]> | Of[Name][1] | undefined;
};

/**
 * A message of protobuf as JSON, of which what has its default value is left out: each field with its schema and that
 * value. A field that cannot be understood is undefined, and reported. It is read field by field, since lists of such
 * messages are long.
 * https://protobuf.dev/programming-guides/json/
 */
export function message<const Of extends Fields>(fields: Of) {
  const all = Object.entries(fields);
  return anyObject.transform((message): Message<Of> => {
    const parsed: Record<string, unknown> = {};
    for (const [name, [schema, usual]] of all) {
      const field = message[name];
      parsed[name] = field === undefined || field === null ? usual : read(name, schema, field);
    }
    return parsed as Message<Of>;
  });
}

/** A field that the vendor always answers: reported when it is absent or null too, and `undefined` then. */
export function expected<Schema extends z.ZodType>(at: string, schema: Schema) {
  const field = optional(at, schema);
  return z
    .unknown()
    .optional()
    .transform((value) => {
      if (value === undefined || value === null) report?.({ at, problem: 'absent' });
      return field.parse(value);
    });
}

/** So many elements are read before others may go on. */
const elementsAtOnce = 100;
/** So many odd elements without hardly a good one, and the rest is not looked at. */
const oddAtMost = 1_000;

/**
 * A list whose odd elements are left out and reported. What is no list is an invalid answer, and so is a list without
 * one element that can be understood: it must not pass for an empty one.
 * @param at the list's name, for the report
 */
export function list<Schema extends z.ZodType>(at: string, of: Schema) {
  return z
    .array(z.unknown())
    .max(longestList)
    .transform((values, context) => {
      const { good, odd, problem } = readable(of, values);
      if (odd > 0 && (good.length === 0 || odd > oddAtMost)) {
        context.addIssue({ code: 'custom', message: `its elements cannot be understood: ${problem}` });
        return z.NEVER;
      }
      if (odd > 0)
        report?.({ at: `${at}[]`, problem: odd > 1 ? `${problem} (and ${odd - 1} more)` : problem });
      return good;
    });
}

/**
 * The beginning of a list that is in an order of its own, such as the newest first: the elements before the first one
 * that cannot be understood, which is reported.
 * @param at the list's name, for the report
 * @param atMost so many are read
 */
export function leading<Schema extends z.ZodType>(at: string, of: Schema, atMost: number) {
  return z.array(z.unknown()).transform((values): z.output<Schema>[] => {
    const read: z.output<Schema>[] = [];
    for (const value of values.slice(0, atMost)) {
      const parsed = of.safeParse(value);
      if (parsed.success) {
        read.push(parsed.data);
        continue;
      }
      report?.({
        at: `${at}[${read.length}]`,
        problem: `${problemOf(parsed.error)}; what follows is not read`,
      });
      break;
    }
    return read;
  });
}

/** Such a list, and how many elements were left out: where a count depends on it that the list is whole. */
export function countedList<Schema extends z.ZodType>(at: string, of: Schema) {
  const checked = list(at, of);
  return z.array(z.unknown()).transform((all, context) => {
    const read = checked.safeParse(all);
    if (read.success) return { items: read.data, left: all.length - read.data.length };
    for (const { message } of read.error.issues) context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}

/**
 * A list of which every element has to be understood, since something counts them all. It ends at the first odd one: a
 * report of a hundred thousand holds the event loop.
 */
export function wholeList<Schema extends z.ZodType>(of: Schema) {
  return z
    .array(z.unknown())
    .max(longestList)
    .transform((values, context): z.output<Schema>[] => {
      const read: z.output<Schema>[] = [];
      for (const value of values) {
        const parsed = of.safeParse(value);
        if (!parsed.success) {
          context.addIssue({
            code: 'custom',
            message: `an element cannot be understood: ${problemOf(parsed.error)}`,
          });
          return z.NEVER;
        }
        read.push(parsed.data);
      }
      return read;
    });
}

/**
 * The elements of a list that may be long, without the odd ones: as {@link countedList}, but it gives way.
 * @throws CollectError `invalid_response` where hardly one can be understood
 */
export async function readElements<Schema extends z.ZodType>(
  at: string,
  of: Schema,
  values: readonly unknown[],
  onOddity: ((oddity: Oddity) => void) | undefined,
): Promise<{ readonly items: z.output<Schema>[]; readonly left: number }> {
  const pause = createYielder();
  const items: z.output<Schema>[] = [];
  let left = 0;
  let problem = '';
  for (let start = 0; start < values.length && left <= oddAtMost; start += elementsAtOnce) {
    const some = reporting(onOddity, () => readable(of, values.slice(start, start + elementsAtOnce)));
    for (const item of some.good) items.push(item);
    left += some.odd;
    problem ||= some.problem;
    await pause();
  }
  if (left > 0 && (items.length === 0 || left > oddAtMost))
    throw new CollectError('invalid_response', `the elements of ${at} cannot be understood: ${problem}`);
  if (left > 0)
    onOddity?.({ at: `${at}[]`, problem: left > 1 ? `${problem} (and ${left - 1} more)` : problem });
  return { items, left };
}

/**
 * The elements of a list of which every one has to be understood, since something counts them all. It gives way between
 * them, whatever is done with each.
 * @throws ZodError for the first one that cannot be understood
 */
export async function* eachElement<Schema extends z.ZodType>(
  of: Schema,
  values: readonly unknown[],
): AsyncGenerator<z.output<Schema>> {
  const pause = createYielder();
  for (const value of values) {
    yield of.parse(value);
    await pause();
  }
}

/** The values of an object, without the odd ones, which are reported. Keys may be any text. */
export function dictionary<Schema extends z.ZodType>(at: string, of: Schema) {
  return anyObject.transform((entries, context) => {
    const { good: values, odd, problem } = readableEntries(of, entries);
    if (odd > oddAtMost) {
      context.addIssue({ code: 'custom', message: `its values cannot be understood: ${problem}` });
      return z.NEVER;
    }
    if (odd > 0) report?.({ at: `${at}.*`, problem: odd > 1 ? `${problem} (and ${odd - 1} more)` : problem });
    return values;
  });
}

/** The values that can be understood, up to too many that cannot. */
function readableEntries<Schema extends z.ZodType>(of: Schema, entries: object) {
  const good = new Map<string, z.output<Schema>>();
  let odd = 0;
  let problem = '';
  for (const [key, value] of Object.entries(entries)) {
    const parsed = of.safeParse(value);
    if (parsed.success && key.length <= longestText) good.set(key, parsed.data);
    else if (odd++ === 0) problem = parsed.error ? problemOf(parsed.error) : 'a key is too long';
    if (odd > oddAtMost) break;
  }
  return { good, odd, problem };
}

function readable<Schema extends z.ZodType>(of: Schema, values: readonly unknown[]) {
  const good: z.output<Schema>[] = [];
  let odd = 0;
  let problem = '';
  for (const value of values) {
    const parsed = of.safeParse(value);
    if (parsed.success) good.push(parsed.data);
    else if (odd++ === 0) problem = problemOf(parsed.error);
    if (odd > oddAtMost) break;
  }
  return { good, odd, problem };
}
