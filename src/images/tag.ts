import { z } from 'zod';

/** What can be a tag: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests */
export const tagName = z.string().regex(/^\w[\w.-]{0,127}$/, 'no tag');
