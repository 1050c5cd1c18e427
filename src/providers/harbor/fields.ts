import { z } from 'zod';
import { count, optional, pastTime } from '../../wire.ts';

/** A number that Go leaves out when it is 0 (`omitempty`); one of another type is unknown. */
export const orZero = (at: string) => {
  const known = optional(at, count);
  return z
    .unknown()
    .optional()
    .transform((value) => (value === undefined || value === null ? 0 : known.parse(value)));
};

/** A field that Harbor never leaves out: one that is missing is unknown and reported, as one of another type is. */
export const always = <Schema extends z.ZodType>(at: string, schema: Schema) => {
  const known = optional(at, schema);
  return z
    .unknown()
    .optional()
    .transform((value) => known.parse(value ?? Symbol('missing')));
};

/** A moment, which Harbor never leaves out; what never happened is year 1. */
export const moment = (at: string) => always(at, z.string().max(64).pipe(pastTime));
