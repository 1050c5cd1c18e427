import type { Sighting } from './sightings.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** A key of an object, or a place in a list. */
export type Step = string | number;

/** One place in a document. */
export interface Place {
  readonly sighting: Sighting;
  readonly steps: readonly Step[];
  readonly value: Json;
}

/** All places of one shape: `repositories[].name`. */
export interface Shape {
  readonly path: string;
  readonly places: Place[];
  /** Whether a valid answer was seen that leaves it out, or has it empty. */
  optional: boolean;
}

/** Keys that are data: a map by digest, for example. */
const isData = (key: string): boolean => /^(sha256:|https?:)|\//.test(key);
const below = (path: string, step: Step): string => {
  if (typeof step === 'number') return `${path}[]`;
  return `${path}${path === '' ? '' : '.'}${isData(step) ? '*' : step}`;
};
const pathOf = (steps: readonly Step[]): string => steps.reduce<string>(below, '');

function* walk(value: Json, steps: readonly Step[] = []): Generator<readonly [readonly Step[], Json]> {
  yield [steps, value];
  if (value === null || typeof value !== 'object') return;
  for (const [key, inner] of Object.entries(value))
    yield* walk(inner as Json, [...steps, Array.isArray(value) ? Number(key) : key]);
}

const isEmpty = (value: Json): boolean =>
  value === null || value === '' || (Array.isArray(value) && value.length === 0);

/** Every field that was seen, by shape. */
export function shapesOf(sightings: readonly Sighting[]): Shape[] {
  const shapes = new Map<string, Shape>();
  /** How often objects of a shape were seen, and each of their keys. */
  const objects = new Map<string, { count: number; readonly keys: Map<string, number> }>();
  for (const sighting of sightings) {
    if (sighting.document === undefined) continue;
    for (const [steps, value] of walk(sighting.document as Json)) {
      const path = pathOf(steps);
      if (steps.length > 0) {
        const shape = shapes.get(path) ?? { path, places: [], optional: false };
        shape.places.push({ sighting, steps, value });
        shape.optional ||= isEmpty(value);
        shapes.set(path, shape);
      }
      if (value === null || typeof value !== 'object' || Array.isArray(value)) continue;
      const object = objects.get(path) ?? { count: 0, keys: new Map() };
      object.count += 1;
      for (const key of Object.keys(value)) object.keys.set(key, (object.keys.get(key) ?? 0) + 1);
      objects.set(path, object);
    }
  }
  for (const [path, { count, keys }] of objects)
    for (const [key, seen] of keys) {
      const shape = shapes.get(below(path, key));
      if (shape && (seen < count || isData(key))) shape.optional = true;
    }
  return [...shapes.values()];
}

/** What stands at a place; undefined where there is no such place. */
export function at(document: unknown, steps: readonly Step[]): unknown {
  let part = document;
  for (const step of steps) part = (part as Record<Step, unknown> | null | undefined)?.[step];
  return part;
}

/** Stands for no value at all. */
export const nothing = Symbol('nothing');

/** A document with another value at one place. */
export function changed(document: Json, steps: readonly Step[], to: Json | typeof nothing): Json {
  const [step, ...rest] = steps;
  if (step === undefined) return to === nothing ? null : to;
  const copy = (Array.isArray(document) ? [...document] : { ...(document as object) }) as Record<Step, Json>;
  if (rest.length > 0 || to !== nothing) copy[step] = changed(copy[step] as Json, rest, to);
  else if (Array.isArray(copy)) copy.splice(step as number, 1);
  else delete copy[step];
  return copy as unknown as Json;
}
