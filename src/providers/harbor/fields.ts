import { z } from 'zod';
import { count, expected, optional, pastTime } from '../../wire.ts';

/** A short text, such as the name of a status. */
export const word = z.string().max(256);

/** A number that Go leaves out when it is 0 (`omitempty`); one of another type is unknown. */
export const orZero = (at: string) => {
  const field = optional(at, count);
  return z
    .unknown()
    .optional()
    .transform((value) => (value === undefined || value === null ? 0 : field.parse(value)));
};

/** A moment, which Harbor never leaves out; what never happened is year 1. */
export const moment = (at: string) => expected(at, z.string().max(64).pipe(pastTime));

/** What never happened Harbor writes as year 1, some databases as 1970. */
export const isNever = (value: unknown): boolean =>
  typeof value === 'string' && value.length < 64 && Date.parse(value) <= 0;
