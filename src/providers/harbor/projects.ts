import { z } from 'zod';
import type { Practice } from '../../model.ts';
import { count, expected, optional, text, wholeList } from '../../wire.ts';
import { every, selector, selects, some } from './patterns.ts';
import type { Expiring } from './robots.ts';

const flag = z.string().max(64).nullish();

/** `Project` of the swagger, of which only what is used. All values of its metadata are strings. */
export const project = z.object({
  project_id: count,
  name: text,
  repo_count: expected('repo_count', count),
  /** There for a cache of another registry. */
  registry_id: optional('registry_id', count),
  metadata: expected('metadata', z.object({ public: flag, auto_scan: flag, retention_id: flag })),
});
export type Project = z.infer<typeof project>;

/** Go leaves out `disabled` where it is false. What selects repositories must be readable: nothing there is everything. */
export const rule = z.object({
  disabled: z.boolean().nullish(),
  scope_selectors: z.object({ repository: wholeList(selector).nullish() }).nullish(),
});
type Rule = z.infer<typeof rule>;

/** Rules of a project. */
export interface Rules {
  readonly rules: readonly Rule[];
  /** There are others that could not be read. */
  readonly more?: boolean;
}

/** What takes requests of its own for each project, and changes seldom. Absent: not known. */
export interface ProjectSettings {
  readonly immutable?: Rules;
  readonly retention?: Rules;
  readonly members?: number;
  readonly robots?: readonly Expiring[];
}

/** Whether anybody may pull; undefined where Harbor does not say. */
export function isPublic({ metadata }: Project): boolean | undefined {
  const word = metadata?.public;
  return word === 'true' || word === 'false' ? word === 'true' : undefined;
}

/** Whether an enabled rule is for the repository; undefined where that is not known. */
function covered(given: Rules | undefined, path: string): boolean | undefined {
  if (!given) return undefined;
  const found = some(given.rules, ({ disabled, scope_selectors: scope }) =>
    every([disabled !== true, selects(scope?.repository, path)], (one) => one),
  );
  return found === false && given.more ? undefined : found;
}

/** The practices that the settings of a repository's project decide. */
export function practicesOf(
  one: Project,
  settings: ProjectSettings,
  path: string,
): Partial<Record<Practice, boolean>> {
  const { metadata } = one;
  const retained = covered(settings.retention, path);
  const immutable = covered(settings.immutable, path);
  return {
    ...(isPublic(one) !== undefined && { private: !isPublic(one), no_anonymous_pull: !isPublic(one) }),
    ...(metadata && { scan_on_push: metadata.auto_scan === 'true' }),
    retention_policy: retained,
    immutable_tags: immutable,
  };
}
