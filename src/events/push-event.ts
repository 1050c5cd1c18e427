import { z } from 'zod';
import type { PushFailureReason } from './told.ts';

/**
 * What a registry told. An event is a hint: it counts, and makes the loop look at the repository; nothing else of it
 * becomes a value, so a forged or repeated one can cost a look at most.
 */
export type PushEvent = EventIdentity &
  (
    | { readonly type: 'pushed' | 'changed'; readonly repository: string }
    // Empty where a vendor counts for the registry as a whole.
    | { readonly type: 'failed'; readonly repository: string; readonly reason: PushFailureReason }
    | { readonly type: 'other' }
  );

interface EventIdentity {
  readonly id: string;
  /** The source gives events no id, and their time in seconds: `id` is their content, and equal ones may differ. */
  readonly byContent?: true;
  /** Who gave it its id, where several sources may tell of it; by default the source. */
  readonly origin?: string;
}

/** A request as its readers see it. */
export interface EventRequest {
  /** The JSON of the body. */
  readonly body: unknown;
  /** The body as it came. */
  readonly raw: Buffer;
  header(name: string): string | undefined;
}

/** What is read of a request; an event that cannot be understood is undefined and hides no other. */
export type ReadEvents = readonly (PushEvent | undefined)[];

/** Reads the events of one source; undefined when the request is none of its. */
export type EventReader = (request: EventRequest) => ReadEvents | undefined;

/** Registries' own limits are lower: a path of 255 characters, a tag of 128, a digest of 135, an id of 36. */
export const repositoryName = z
  .string()
  .max(512)
  // Names become part of addresses when a repository is looked at: no dots alone, no queries, nothing escaped.
  .regex(/^\w[\w.-]*(?:\/\w[\w.-]*)*$/);
export const shortText = z.string().max(256);
export const eventId = z.union([z.string().min(1).max(1_024), z.number().transform(String)]);

/** Reads the elements of a list one by one. */
export function readEach<Schema extends z.ZodType>(
  elements: readonly unknown[],
  schema: Schema,
  read: (element: z.output<Schema>) => PushEvent,
): ReadEvents {
  return elements.map((element) => {
    const parsed = schema.safeParse(element);
    return parsed.success ? read(parsed.data) : undefined;
  });
}
