import type { z } from 'zod';
import { createYielder } from '../../yielding.ts';

/**
 * Reads the elements of a long list one by one, giving way between them.
 * @throws ZodError for the first element that cannot be understood: what counts them all would be wrong
 */
export async function parseEach<Schema extends z.ZodType>(
  values: readonly unknown[],
  schema: Schema,
): Promise<z.infer<Schema>[]> {
  const pause = createYielder();
  const parsed: z.infer<Schema>[] = [];
  for (const value of values) {
    parsed.push(schema.parse(value));
    await pause();
  }
  return parsed;
}
