import { z } from 'zod';
import type { Practice, RegistryFacts } from '../../model.ts';
import { count, expected, optional, text, wholeList } from '../../wire.ts';
import { selector, selects, some } from './patterns.ts';
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

/** Go leaves out `disabled` where it is false. Selectors must be readable: a rule without any takes everything. */
export const rule = z.object({
  disabled: z.boolean().nullish(),
  scope_selectors: z.object({ repository: wholeList(selector).nullish() }).nullish(),
});

/** Rules of a project. */
export interface Rules {
  readonly rules: readonly z.infer<typeof rule>[];
  /** There are others that could not be read. */
  readonly more?: boolean;
}

/** What takes requests of its own for each project, and changes seldom. Absent: unknown. */
export interface ProjectSettings {
  readonly immutable?: Rules;
  readonly retention?: Rules;
  readonly members?: number;
  readonly robots?: readonly Expiring[];
}

/** Whether anybody may pull; undefined where Harbor does not say. */
export function isPublic({ metadata }: Project): boolean | undefined {
  const value = metadata?.public;
  return value === 'true' || value === 'false' ? value === 'true' : undefined;
}

/** Whether an enabled rule takes the repository; undefined where that is unknown. */
function isCovered(rules: Rules | undefined, path: string): boolean | undefined {
  if (!rules) return undefined;
  const covered = some(rules.rules, ({ disabled, scope_selectors: scope }) =>
    disabled ? false : selects(scope?.repository, path),
  );
  return covered === false && rules.more ? undefined : covered;
}

/** The practices that the settings of a repository's project decide. */
export function practicesOf(
  project: Project,
  settings: ProjectSettings,
  path: string,
): Partial<Record<Practice, boolean>> {
  const open = isPublic(project);
  return {
    private: open === undefined ? undefined : !open,
    no_anonymous_pull: open === undefined ? undefined : !open,
    scan_on_push: project.metadata && project.metadata.auto_scan === 'true',
    retention_policy: isCovered(settings.retention, path),
    immutable_tags: isCovered(settings.immutable, path),
  };
}

export const projectFacts = (
  projects: readonly Project[],
  settingsOf: ReadonlyMap<string, ProjectSettings>,
): NonNullable<RegistryFacts['projects']> =>
  projects.map((project) => ({
    project: project.name,
    public: isPublic(project),
    repositories: project.repo_count,
    members: settingsOf.get(project.name)?.members,
  }));
