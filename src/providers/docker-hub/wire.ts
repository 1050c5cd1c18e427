import { z } from 'zod';
import { count, countedList, expected, list, optional, pastTime, text } from '../../wire.ts';

/**
 * What Docker Hub answers, as far as it is used. Nearly every field may be null or absent: its reference does not say
 * which are always there. https://docs.docker.com/reference/api/hub/latest/#tag/repositories
 */
const repositoryFields = {
  is_private: expected('is_private', z.boolean()),
  star_count: expected('star_count', count),
  pull_count: expected('pull_count', count),
  // Absent of a repository that nothing was pushed to.
  storage_size: optional('storage_size', count),
  // The listing does not tell it.
  immutable_tags_settings: optional(
    'immutable_tags_settings',
    z.object({ enabled: optional('immutable_tags_settings.enabled', z.boolean()) }),
  ),
};

/** An entry of a namespace's listing. */
export const listedRepository = z.object({ name: text, ...repositoryFields });
export type ListedRepository = z.infer<typeof listedRepository>;

/** One repository by itself: this alone tells the rules of immutable tags. */
export const repositoryDetail = z.object(repositoryFields);
export type RepositoryDetail = z.infer<typeof repositoryDetail>;

/** What was never pulled has no time, or that of year 1. */
const time = (at: string) => optional(at, pastTime);
const digest = optional('digest', z.string().regex(/^[a-z0-9+._-]+:[a-f0-9]{32,}$/, 'no digest'));
const taggedImage = z.object({
  digest,
  architecture: optional('architecture', text),
  os: optional('os', text),
  size: expected('images[].size', count),
  last_pushed: time('last_pushed'),
  last_pulled: time('last_pulled'),
});
export type TaggedImage = z.infer<typeof taggedImage>;

/** A tag. `digest`, `media_type` and `content_type` are answered and not in the reference. */
export const listedTag = z.object({
  name: text,
  digest,
  media_type: optional('media_type', text),
  content_type: optional('content_type', text),
  full_size: optional('full_size', count),
  last_updated: time('last_updated'),
  tag_last_pushed: time('tag_last_pushed'),
  tag_last_pulled: time('tag_last_pulled'),
  images: optional('images', list('images', taggedImage)),
});
export type ListedTag = z.infer<typeof listedTag>;

/** A page of anything; `results` is what makes it one. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({
    count: optional('count', count),
    // Empty at the end, where it is not null. What is no text is no end.
    next: z.string().max(4_096).nullish(),
    results: countedList('results', item),
  });

/** Of every error of the API: {message, errinfo} or {detail}. */
export const hubError = z.union([z.object({ message: z.string() }), z.object({ detail: z.string() })]);
