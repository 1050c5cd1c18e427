import { CollectError } from '../../errors.ts';
import { type Harbor, projectPath } from './client.ts';

/** Whether a version such as `v2.12.0-5d4e6a2` is 2.`minor` or later; undefined where it is not told. */
export function isSince(version: string | undefined, minor: number): boolean | undefined {
  const [, first, second] = /^v?(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (first === undefined) return undefined;
  return Number(first) > 2 || (Number(first) === 2 && Number(second) >= minor);
}

/** Since 2.12 the artifacts of a project can be listed together, by those who have an account. */
export async function listsProjects(
  client: Harbor,
  since212: boolean | undefined,
  toRead: ReadonlyMap<string, unknown>,
): Promise<boolean> {
  const [first] = toRead.keys();
  if (!client.authenticates || first === undefined) return false;
  if (since212 !== undefined) return since212;
  try {
    await client.count({ operation: 'project_artifacts', path: `${projectPath(first)}/artifacts` });
    return true;
  } catch (error) {
    return !(error instanceof CollectError && [404, 405].includes(error.status ?? 0));
  }
}
