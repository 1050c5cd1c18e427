import { type Json, nothing } from './shapes.ts';

/** What is put in the place of a valid value. */
export interface Change {
  readonly kind: string;
  /** A function where it is large: it is made when it is needed. */
  readonly to: Json | typeof nothing | (() => Json);
  /** Whether it is of the field's type, and in the range of what is meant: then a server may well answer it. */
  readonly valid: boolean;
  /** Whether an element of a list became one that is none. */
  readonly odd?: boolean;
}

/** JSON of a number that no JavaScript number is. */
const rawJson = (text: string): Json => (JSON as typeof JSON & { rawJSON(text: string): Json }).rawJSON(text);

const isTime = (value: string): boolean =>
  /^\d{4}-\d\d-\d\dT/.test(value) && !Number.isNaN(Date.parse(value));
/** Numbers of 64 bits are written as text. */
const isNumeric = (value: string): boolean => /^\d{1,19}$/.test(value);
const longText = (original: string, length: number): string => original.padEnd(length, 'x');

/** So many, unless a list of them would be larger than any answer that is read. */
const many = (element: Json): Json => {
  const length = Math.min(100_000, Math.ceil(40_000_000 / JSON.stringify(element).length));
  return Array.from({ length }, () => element);
};

function changesOfNumericText(): Change[] {
  return [
    { kind: '0', to: '0', valid: true },
    { kind: '-1', to: '-1', valid: false },
    { kind: '2^53+1', to: '9007199254740993', valid: false },
    { kind: '1e308', to: '1e308', valid: false },
  ];
}

function changesOfText(value: string, optional: boolean, inner: string): Change[] {
  const anyText = !isNumeric(value) && !isTime(value);
  return [
    { kind: '""', to: '', valid: optional },
    // A number of 64 bits may come as a number too.
    { kind: 'number for text', to: 12_345, valid: isNumeric(value) },
    { kind: 'list for text', to: [value], valid: false },
    { kind: '10 KB', to: longText(value, 10_000), valid: anyText },
    { kind: '1 MB', to: () => longText(value, 1_000_000), valid: anyText },
    { kind: 'another word', to: 'something-else', valid: anyText },
    ...(isNumeric(value) ? changesOfNumericText() : [{ kind: '0', to: 0, valid: false }]),
    ...(/^https?:/.test(value) ? [{ kind: 'inner address', to: inner, valid: true }] : []),
    ...(isTime(value)
      ? [
          // How Go writes a time that is none.
          { kind: 'year 1', to: '0001-01-01T00:00:00Z', valid: optional },
          { kind: 'year 9999', to: '9999-12-31T23:59:59Z', valid: false },
          { kind: 'seconds as text', to: String(Math.floor(Date.parse(value) / 1000)), valid: false },
        ]
      : []),
  ];
}

function changesOfNumber(value: number): Change[] {
  return [
    { kind: '0', to: 0, valid: true },
    { kind: '-1', to: -1, valid: value < 0 },
    { kind: '1e308', to: 1e308, valid: false },
    { kind: '2^53+1', to: rawJson('9007199254740993'), valid: false },
    { kind: 'text for number', to: 'many', valid: false },
    { kind: 'digits as text', to: String(value), valid: false },
    { kind: '""', to: '', valid: false },
    { kind: 'half', to: value + 0.5, valid: !Number.isInteger(value) },
  ];
}

function changesOfList(value: readonly Json[]): Change[] {
  const [first, ...rest] = value;
  const changes: Change[] = [
    { kind: 'empty list', to: [], valid: true },
    { kind: 'object for list', to: {}, valid: false },
  ];
  if (first === undefined) return changes;
  const odd = (kind: string, element: Json): Change => ({
    kind,
    to: [element, ...rest],
    valid: false,
    odd: true,
  });
  return [
    ...changes,
    odd('null among', null),
    odd('number among', typeof first === 'number' ? 'text' : 5),
    odd('list among', []),
    typeof first === 'string' ? odd('"" among', '') : odd('{} among', {}),
    { kind: '100,000 long', to: () => many(first), valid: true },
    { kind: '100,000 numbers', to: () => many(1), valid: false },
  ];
}

/**
 * What a valid value is replaced with.
 * @param optional whether the vendor leaves it out at times
 * @param inner an address that nobody outside may lead to
 */
export function changesOf(value: Json, optional: boolean, inner: string): Change[] {
  const always: Change[] = [
    { kind: 'absent', to: nothing, valid: optional },
    { kind: 'null', to: null, valid: optional },
  ];
  if (typeof value === 'string') return [...always, ...changesOfText(value, optional, inner)];
  if (typeof value === 'number') return [...always, ...changesOfNumber(value)];
  if (Array.isArray(value)) return [...always, ...changesOfList(value)];
  if (typeof value === 'boolean')
    return [
      ...always,
      { kind: 'text for boolean', to: 'perhaps', valid: false },
      { kind: 'word of itself', to: String(value), valid: false },
      { kind: '0', to: 0, valid: false },
    ];
  return [
    ...always,
    { kind: 'text for object', to: 'none', valid: false },
    { kind: 'list for object', to: [], valid: false },
  ];
}

/** What the list that an element is in is asked already. */
const askedOfList = ['null', '""', 'number for text', 'list for text', 'text for object', 'list for object'];
export const isOfElement = ({ kind }: Change): boolean => !askedOfList.includes(kind);

/** gRPC has no types to confuse: whether its messages can say it. */
export function isSayable({ kind }: Change, value: Json): boolean {
  const kinds = ['absent', '-1', '2^53+1'];
  if (typeof value !== 'string' || isNumeric(value)) kinds.push('0');
  if (typeof value === 'string' && !isNumeric(value)) kinds.push('""', '10 KB', '1 MB', 'another word');
  if (Array.isArray(value)) kinds.push('empty list', '100,000 long');
  return kinds.includes(kind);
}
