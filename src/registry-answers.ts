import { z } from 'zod';
import { CollectError } from './errors.ts';
import { jsonIn } from './http/parse.ts';
import type { HttpResponse } from './http.ts';

const errorAnswer = z.object({ errors: z.array(z.object({ code: z.string() })) });

/** The codes of an error as registries write it; none for what anything else answers. */
export function errorCodes(response: HttpResponse): string[] {
  try {
    const parsed = errorAnswer.safeParse(jsonIn(response.body));
    return parsed.data?.errors.map((error) => error.code) ?? [];
  } catch {
    return [];
  }
}

/** A 404 that no registry wrote: it does not say that there is no such thing. */
export const notOfARegistry = ({ origin, pathname }: URL): CollectError =>
  new CollectError(
    'invalid_response',
    `GET ${origin}${pathname} answered 404, but not as a registry does: is it what answers there?`,
    { status: 404 },
  );
