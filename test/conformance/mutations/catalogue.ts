import type { Replacement } from '../../simulators/answers.ts';
import { type Change, changesOf, isOfElement, isSayable } from './changes.ts';
import { type Renames, renamesOf } from './digests.ts';
import { at, changed, type Json, type Place, type Shape, shapesOf } from './shapes.ts';
import type { Names, Sighting } from './sightings.ts';

/** A change of a valid answer. */
export interface Mutation {
  readonly operation: string;
  /** Of a field, as its shape: `repositories[].name`, `header link`; `answer` for the whole. */
  readonly path: string;
  /** What is done to it: `absent`, `status 403`. */
  readonly kind: string;
  /** The one question whose answer is changed; all of the operation where it is absent. */
  readonly key?: string;
  /** Answers of this status alone are changed; all where it is absent. */
  readonly status?: number;
  /** Whether the vendor may well give the changed answer: then it is believed, and nothing need be said. */
  readonly plausible: boolean;
  /** Whether an element of a list became one that is none: it may be left out, if that is said. */
  readonly oddElement: boolean;
  /** The repositories that the changed part is about; none: the registry as a whole. */
  readonly about: readonly string[];
  /** Whether the same question may be answered well some day: what a digest names stays as it is. */
  readonly mayPass: boolean;
  /** Digests that are others because of it; worked out when it runs. */
  renames(): Renames;
  /** Makes what is large once, and returns what changes an answer, or leaves it where there is no such place. */
  make(): (sighting: Sighting) => Replacement | undefined;
}

/** How a mutation is called in rules and reports. */
export const nameOf = ({ operation, path, kind }: Mutation): string => `${operation} | ${path} | ${kind}`;

/** What mutations are made from besides the answers. */
export interface Catalogue {
  readonly names: Names;
  /** Whether the vendor's schema lets a field be absent though the simulator always sends it. */
  optional(operation: string, path: string): boolean;
  pick<T>(all: readonly T[]): T | undefined;
  /** An address that nobody outside may lead to. */
  readonly trap: string;
  /** Everything that lies under its digest. */
  readonly stored: readonly { readonly url: string; readonly body: Buffer }[];
}

const noRenames = (): Renames => new Map();

/** A fact that can never be another one: what a digest names. */
export const isImmutable = ({ exchange }: Sighting): boolean =>
  /(manifests|blobs)\/sha256(:|%3A)/i.test(exchange.url);
const isProtobuf = ({ exchange }: Sighting): boolean =>
  String(exchange.asked.headers['content-type'] ?? '').startsWith('application/grpc');

/** The repositories that a question is about. */
function aboutQuestion({ exchange }: Sighting, names: Names): readonly string[] {
  // Where a page begins is not what it is about.
  const url = exchange.url.replace(/([?&](?:last|cursor|after)=)[^&]*/g, '$1');
  const found = names.namedIn(`${url} ${exchange.asked.body}`);
  return found.length === names.all.length && names.all.length > 1 ? [] : found;
}

/**
 * The repositories that a change is about: those of the smallest part around the place that names any. A list that names
 * them itself is the listing: without it nothing is known of any.
 */
function aboutChange({ sighting, steps, value }: Place, change: Change, names: Names): readonly string[] {
  const asked = aboutQuestion(sighting, names);
  if (asked.length > 0) return asked;
  if (Array.isArray(value) && names.namedIn(JSON.stringify(value)).length > 0)
    return change.odd ? names.namedIn(JSON.stringify(value[0])) : [];
  for (let depth = steps.length; depth > 0; depth -= 1) {
    const found = names.namedIn(JSON.stringify(at(sighting.document, steps.slice(0, depth))));
    if (found.length > 0) return found;
  }
  return [];
}

/** Tokens differ from poll to poll. */
const isVolatile = (now: unknown, before: Json): boolean =>
  typeof now === 'string' &&
  typeof before === 'string' &&
  before.length >= 24 &&
  now.length === before.length;

/**
 * Whether a document holds a place. Pages that are asked for by a token look alike in what is asked, and only one is
 * meant: a number is the same on many of them, the element of the list that holds it is not.
 */
function alike({ sighting, steps, value }: Place): (document: unknown) => boolean {
  const { url, asked } = sighting.exchange;
  const isPage = /token/i.test(`${url} ${asked.body}`);
  const element = steps.slice(0, steps.findLastIndex((step) => typeof step === 'number') + 1);
  const meant = isPage && element.length > 0 ? element : steps;
  const shown = JSON.stringify(at(sighting.document, meant));
  return (document) =>
    JSON.stringify(at(document, meant)) === shown ||
    (meant === steps && isVolatile(at(document, steps), value));
}

function fieldMutations(operation: string, shape: Shape, catalogue: Catalogue): Mutation[] {
  const { names, optional, pick, trap, stored } = catalogue;
  const { path, places } = shape;
  const place =
    pick(places.filter(({ value }) => value !== null && JSON.stringify(value) !== '[]')) ?? places[0];
  if (!place) return [];
  const { sighting, steps, value } = place;
  const isAlike = alike(place);
  const inList = typeof steps.at(-1) === 'number';
  const immutable = isImmutable(sighting);
  return changesOf(value, shape.optional || optional(operation, path), `${trap}/latest/meta-data`)
    .filter((change) => !isProtobuf(sighting) || isSayable(change, value))
    .filter((change) => !inList || isOfElement(change))
    .map((change) => {
      const { kind, to, valid, odd = false } = change;
      const replacement = ({ document, exchange }: Sighting): { readonly body: Buffer } => {
        const text = JSON.stringify(changed(document as Json, steps, typeof to === 'function' ? to() : to));
        // As long as it was, where it can be: others tell the size of what a digest names.
        return { body: Buffer.from(text.padEnd(immutable ? exchange.body.length : 0)) };
      };
      const { url, body } = sighting.exchange;
      return {
        operation,
        path,
        kind,
        key: sighting.key,
        status: sighting.exchange.status,
        plausible: valid || (inList && kind === 'absent'),
        oddElement: odd || inList,
        about: aboutChange(place, change, names),
        mayPass: !immutable,
        renames: immutable ? () => renamesOf(url, body, replacement(sighting).body, stored) : noRenames,
        make() {
          const made = typeof to === 'function' ? replacement(sighting) : undefined;
          return (one) => (isAlike(one.document) ? (made ?? replacement(one)) : undefined);
        },
      };
    });
}

/** Headers that are not the vendor's. */
const usual = /^(date|connection|content-length|transfer-encoding|keep-alive|content-type|server|vary)$/;

/** Whether a page holds as many as were asked for: then a page without a link is no end that is proved. */
function isFull({ exchange, document }: Sighting): boolean {
  const { searchParams } = new URL(exchange.url, 'http://localhost');
  const asked = Number(searchParams.get('n') ?? searchParams.get('page_size') ?? Number.NaN);
  const lists = [document, ...Object.values((document ?? {}) as object)].filter((one) => Array.isArray(one));
  return lists.some((list) => list.length >= asked);
}

function headerMutations(
  operation: string,
  sightings: readonly Sighting[],
  catalogue: Catalogue,
): Mutation[] {
  const { names, optional, trap } = catalogue;
  const found = new Map<string, Sighting>();
  for (const sighting of sightings)
    for (const name of Object.keys(sighting.exchange.headers))
      if (!usual.test(name) && !found.has(name)) found.set(name, sighting);
  return [...found].flatMap(([name, sighting]): Mutation[] => {
    const path = `header ${name}`;
    const seenWithout = sightings.some(
      ({ exchange: { headers, status } }) =>
        status === sighting.exchange.status && headers[name] === undefined,
    );
    const mayBeAbsent = name === 'link' ? !isFull(sighting) : seenWithout || optional(operation, path);
    const to = (kind: string, value: string | undefined, plausible = false): Mutation => ({
      operation,
      path,
      kind,
      key: sighting.key,
      status: sighting.exchange.status,
      plausible,
      oddElement: false,
      about: aboutQuestion(sighting, names),
      mayPass: true,
      renames: noRenames,
      make:
        () =>
        ({ exchange: { headers } }) => {
          const { [name]: _, ...others } = headers;
          return { headers: value === undefined ? others : { ...others, [name]: value } };
        },
    });
    // Whatever is no number, link or digest is text: another text is as good.
    const isText = !/^(-?\d|<|"?sha256:)/.test(sighting.exchange.headers[name] ?? '');
    return [
      to('absent', undefined, mayBeAbsent),
      to('""', '', mayBeAbsent),
      to('another word', 'something-else', isText),
      to('-1', '-1', isText),
      to('1e308', '1e308', isText),
      to('10 KB', 'x'.repeat(10_000), isText),
      ...(name === 'link' ? [to('inner address', `<${trap}/latest/meta-data>; rel="next"`)] : []),
    ];
  });
}

const challenge = 'Bearer realm="https://example.invalid/token",service="somewhere",scope="nothing"';
const page = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>';

type WholeAnswer = readonly [
  kind: string,
  replacement: Replacement | ((sighting: Sighting) => Replacement | undefined),
];

/** What a proxy or a disk that is full makes of a body: its beginning, or more than it. Not of what has none. */
const brokenBodies: readonly WholeAnswer[] = [
  [
    'half of the body',
    ({ exchange: { body } }) => (body.length < 2 ? undefined : { body: body.subarray(0, body.length >> 1) }),
  ],
  [
    'page after the body',
    ({ exchange: { body } }) =>
      body.length < 2 ? undefined : { body: Buffer.concat([body, Buffer.from(page)]) },
  ],
];

function wholeAnswers(trap: string): readonly WholeAnswer[] {
  const status = (code: number, headers: Record<string, string> = {}): Replacement => ({
    status: code,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from('{}'),
  });
  const ok = (body: string, type = 'application/json'): Replacement => ({
    status: 200,
    headers: { 'content-type': type },
    body: Buffer.from(body),
  });
  return [
    ...[400, 401, 403, 404, 406, 409, 429, 500, 503].map((code) => [`status ${code}`, status(code)] as const),
    ['status 401 with a challenge', status(401, { 'www-authenticate': challenge })],
    ['redirect to another address', status(302, { location: `${trap}/redirected` })],
    // Without a body, as these two are: what was asked is not answered.
    ...[204, 304].map((code) => [`status ${code}`, { status: code, body: Buffer.alloc(0) }] as const),
    ...brokenBodies,
    ['HTML with 200', ok(page, 'text/html')],
    ['errors with 200', ok('{"errors":[{"code":"DENIED","message":"access to the resource is denied"}]}')],
    ['no answer', { hangs: true }],
    ['empty body', ok('')],
    ['{}', ok('{}')],
    ['[]', ok('[]')],
    ['null', ok('null')],
    ['text', ok('"a word"')],
  ];
}

/** Changes of a whole answer: of all of an operation, and of one question alone. */
function answerMutations(
  operation: string,
  sightings: readonly Sighting[],
  catalogue: Catalogue,
): Mutation[] {
  const { names, pick, trap } = catalogue;
  const one = pick(sightings.filter(({ exchange }) => exchange.status < 300)) ?? sightings[0];
  return wholeAnswers(trap).flatMap(([kind, replacement]): Mutation[] => {
    const every: Mutation = {
      operation,
      path: 'answer',
      kind,
      plausible: false,
      oddElement: false,
      about: [],
      mayPass: true,
      renames: noRenames,
      make: () => (typeof replacement === 'function' ? replacement : () => replacement),
    };
    if (!one || sightings.every(({ key }) => key === one.key)) return [every];
    const about = aboutQuestion(one, names);
    // What was listed a moment ago may be gone.
    const plausible = kind === 'status 404' && about.length > 0;
    return [every, { ...every, path: 'one answer', key: one.key, plausible, about }];
  });
}

/** Everything that can be done to the answers that were seen; always in the same order. */
export function mutationsOf(sightings: readonly Sighting[], catalogue: Catalogue): Mutation[] {
  const sorted = sightings.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const operations = [...Map.groupBy(sorted, ({ operation }) => operation)].sort(([a], [b]) =>
    a < b ? -1 : 1,
  );
  return operations.flatMap(([operation, own]) => [
    ...shapesOf(own).flatMap((shape) => fieldMutations(operation, shape, catalogue)),
    ...headerMutations(operation, own, catalogue),
    ...answerMutations(operation, own, catalogue),
  ]);
}
