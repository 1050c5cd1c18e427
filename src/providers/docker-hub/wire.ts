import { z } from 'zod';

/**
 * What Docker Hub answers, as far as it is used. Nearly every field may be null or absent: its reference does not say
 * which are always there. https://docs.docker.com/reference/api/hub/latest/#tag/repositories
 */
const count = z.number().nonnegative().nullish();
const time = z.string().nullish();

const repositoryFields = {
  is_private: z.boolean().nullish(),
  star_count: count,
  pull_count: count,
  storage_size: count,
  immutable_tags_settings: z.object({ enabled: z.boolean().nullish() }).nullish(),
};

/** An entry of a namespace's listing. */
export const listedRepository = z.object({ name: z.string(), ...repositoryFields });
export type ListedRepository = z.infer<typeof listedRepository>;

/** One repository by itself: this alone tells the rules of immutable tags. */
export const repositoryDetail = z.object({ name: z.string(), ...repositoryFields });

const taggedImage = z.object({
  digest: z.string().nullish(),
  architecture: z.string().nullish(),
  os: z.string().nullish(),
  size: count,
  last_pushed: time,
  last_pulled: time,
});
export type TaggedImage = z.infer<typeof taggedImage>;

/** A tag. `digest`, `media_type` and `content_type` are answered and not in the reference. */
export const listedTag = z.object({
  name: z.string(),
  digest: z.string().nullish(),
  media_type: z.string().nullish(),
  content_type: z.string().nullish(),
  full_size: count,
  last_updated: time,
  tag_last_pushed: time,
  tag_last_pulled: time,
  images: z.array(taggedImage).nullish(),
});
export type ListedTag = z.infer<typeof listedTag>;

/** A page of anything; `results` is what makes it one. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ count, next: z.string().nullish(), results: z.array(item) });

/** Of every error of the API: {message, errinfo} or {detail}. */
export const hubError = z.union([z.object({ message: z.string() }), z.object({ detail: z.string() })]);

/** Unix seconds; what was never pulled has no time, or that of year 1. */
export function secondsOf(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined) return undefined;
  const seconds = Date.parse(text) / 1000;
  return seconds > 0 ? seconds : undefined;
}
