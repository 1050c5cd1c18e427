import { z } from 'zod';

/** `Repository` of the swagger, of which only what is used. */
export const repository = z.object({
  id: z.number().nullish(),
  name: z.string().min(1),
  artifact_count: z.number().nullish(),
  pull_count: z.number().nullish(),
});

/** A repository as the listing names it, `project/path`. */
export interface Listed {
  readonly name: string;
  readonly project: string;
  /** Its name below the project. */
  readonly path: string;
  readonly id?: number;
  readonly artifacts?: number;
  readonly pulls?: number;
}

export function toListed({ name, id, artifact_count, pull_count }: z.infer<typeof repository>): Listed {
  const slash = name.indexOf('/');
  return {
    name,
    project: slash < 0 ? name : name.slice(0, slash),
    path: slash < 0 ? name : name.slice(slash + 1),
    ...(typeof id === 'number' && { id }),
    ...(typeof artifact_count === 'number' && { artifacts: artifact_count }),
    ...(typeof pull_count === 'number' && { pulls: pull_count }),
  };
}

export interface ToRead {
  readonly wanted: readonly Listed[];
  readonly artifacts: number;
}

/** One list of the project, or one per repository: those that are wanted may be few of many. */
export function cheaperTogether(wanted: readonly Listed[], artifacts: number, pageSize: number): boolean {
  let apart = 0;
  for (const listed of wanted) apart += Math.max(1, Math.ceil((listed.artifacts ?? 1) / pageSize));
  return Math.max(1, Math.ceil(artifacts / pageSize)) <= apart;
}
