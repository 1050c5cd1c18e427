import { z } from 'zod';
import { count, expected, optional, pastTime } from '../../wire.ts';

/** A number that Go leaves out when it is 0 (`omitempty`); one of another type is unknown. */
export const orZero = (at: string) => {
  const known = optional(at, count);
  return z
    .unknown()
    .optional()
    .transform((value) => (value === undefined || value === null ? 0 : known.parse(value)));
};

/** A moment, which Harbor never leaves out; what never happened is year 1. */
export const moment = (at: string) => expected(at, z.string().max(64).pipe(pastTime));
