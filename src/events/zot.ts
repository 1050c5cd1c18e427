import { z } from 'zod';
import type { PushEvent } from '../events.ts';

/**
 * CloudEvents of zot's events extension; `lint_failed` is a push that zot refused.
 * https://github.com/project-zot/zot/tree/main/pkg/extensions/events
 */
const cloudEvent = z.object({
  specversion: z.string(),
  id: z.string(),
  type: z.string().startsWith('zotregistry.'),
  data: z.object({ name: z.string().optional(), repository: z.string().optional() }).optional(),
});

const types: Readonly<Record<string, 'pushed' | 'failed' | 'changed'>> = {
  'zotregistry.image.updated': 'pushed',
  'zotregistry.image.lint_failed': 'failed',
  'zotregistry.image.deleted': 'changed',
  'zotregistry.repository.created': 'changed',
};

/** The event of a CloudEvent in structured mode, one or a batch; undefined when the body is none. */
export function readZotEvents(body: unknown): PushEvent[] | undefined {
  const parsed = z.array(cloudEvent).safeParse(Array.isArray(body) ? body : [body]);
  if (!parsed.success) return undefined;
  return parsed.data.map(({ id, type, data }) => {
    const repository = data?.repository ?? data?.name;
    const known = types[type];
    if (known === undefined || repository === undefined) return { id, type: 'other' };
    return known === 'failed'
      ? { id, type: 'failed', repository, reason: 'lint' }
      : { id, type: known, repository };
  });
}
