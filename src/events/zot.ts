import { z } from 'zod';
import type { PushEvent } from './push-event.ts';

/**
 * CloudEvents of zot's events extension; `lint_failed` is a push that zot refused.
 * https://github.com/project-zot/zot/tree/main/pkg/extensions/events
 */
const cloudEvent = z.object({
  specversion: z.string(),
  id: z.string(),
  // zot can be told to begin its types with another name than its own (`typePrefix`).
  type: z.string().regex(/^zotregistry\.|\.(?:image\.[a-z_]+|repository\.created)$/),
  data: z.object({ name: z.string().optional(), repository: z.string().optional() }).optional(),
});

const types: Readonly<Record<string, 'pushed' | 'failed' | 'changed'>> = {
  'image.updated': 'pushed',
  'image.lint_failed': 'failed',
  'image.deleted': 'changed',
  'repository.created': 'changed',
};

/**
 * The event of a CloudEvent; undefined when there is none. zot sends the binary mode, in which the body is the data
 * and all else are headers; the structured mode is read too, one event or a batch.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode
 */
export function readZotEvents(
  body: unknown,
  header: (name: string) => string | undefined,
): PushEvent[] | undefined {
  const type = header('ce-type');
  const binary = type !== undefined && {
    specversion: header('ce-specversion'),
    id: header('ce-id'),
    type,
    data: body,
  };
  const parsed = z.array(cloudEvent).safeParse(binary ? [binary] : Array.isArray(body) ? body : [body]);
  if (!parsed.success) return undefined;
  return parsed.data.map(({ id, type, data }) => {
    const repository = data?.repository ?? data?.name;
    const known = types[type.split('.').slice(-2).join('.')];
    if (known === undefined || repository === undefined) return { id, type: 'other' };
    return known === 'failed'
      ? { id, type: 'failed', repository, reason: 'lint' }
      : { id, type: known, repository };
  });
}
