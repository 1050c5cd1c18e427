import type { z } from 'zod';
import { createYielder } from '../../yielding.ts';

/**
 * Reads the elements of a long list one by one, giving way between them.
 * @param otherwise in the place of an element that cannot be understood
 */
export async function parseEach<Schema extends z.ZodType>(
  values: readonly unknown[],
  schema: Schema,
  otherwise: z.input<Schema>,
): Promise<z.infer<Schema>[]> {
  const pause = createYielder();
  const unknown = schema.parse(otherwise);
  const parsed: z.infer<Schema>[] = [];
  for (const value of values) {
    // Errors are costly to make: what is no object is not tried.
    const result = typeof value === 'object' && value !== null ? schema.safeParse(value) : undefined;
    parsed.push(result?.success ? result.data : unknown);
    await pause();
  }
  return parsed;
}
