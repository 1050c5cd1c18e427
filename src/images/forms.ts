import { z } from 'zod';
import { count, dictionary, optional } from '../wire.ts';
import { digestForm } from './digest.ts';

/** The documents that a registry holds, as far as they are read. Odd fields are unknown, and report themselves. */

/** Annotations that are no text are left out. */
const annotations = optional(
  'annotations',
  dictionary('annotations', z.string()).transform(
    (entries): Readonly<Record<string, string>> => Object.fromEntries(entries),
  ),
);
const mediaType = optional('mediaType', z.string());

const digest = z.string().max(300).regex(digestForm, 'no digest');

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a manifest names. Without a digest it is nothing that can be asked for; without a size that is unknown. */
const descriptor = z.object({
  mediaType,
  digest: optional('digest', digest),
  size: optional('size', count),
  artifactType: optional('artifactType', z.string()),
  annotations,
});

/**
 * Images have a hundred layers at most; artifacts have one for each of their files. What a registry takes at least, 4 MiB,
 * would have room for 25,000, which would hold the event loop.
 */
const mostDescriptors = 10_000;
/** Descriptors that are no objects keep their place, so that something is known to be missing. */
const descriptors = z
  .array(z.unknown())
  .max(mostDescriptors, `more than ${mostDescriptors} parts, which are not read`)
  .transform((values) => values.map((value) => (isObject(value) ? value : {})))
  .pipe(z.array(descriptor));
/** What a manifest consists of: nothing where the list is absent or null, undefined where it is no such list. */
const partsList = (at: string) => z.preprocess((value) => value ?? [], optional(at, descriptors));

export const imageManifest = z.object({
  artifactType: optional('artifactType', z.string()),
  config: optional('config', descriptor),
  layers: partsList('layers'),
  annotations,
});

export const indexManifest = z.object({
  artifactType: optional('artifactType', z.string()),
  manifests: partsList('manifests'),
});

/** What the OCI 1.1 release candidates pushed; some registries still hold them. */
export const artifactManifest = z.object({
  artifactType: z.string(),
  blobs: partsList('blobs'),
  annotations,
});

/** The answer of the referrers API is an index. */
export const referrersPage = z.object({ manifests: z.array(z.unknown()).max(100_000).nullable() });
const referrer = z.object({ digest });

/** The digest of what is attached, as the referrers API lists it; undefined for what cannot be understood. */
export const referrerOf = (value: unknown): string | undefined =>
  isObject(value) ? referrer.safeParse(value).data?.digest : undefined;

/** What a manifest says of a part of it. */
export type Descriptor = z.infer<typeof descriptor>;
