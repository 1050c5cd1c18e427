import cron from 'node-cron';
import { z } from 'zod';
import { sourceCommon } from '../in-use/settings.ts';
import { sourceKinds } from '../in-use/sources/index.ts';
import { byteSize, duration, endpointUrl, parseDuration, tlsFiles } from '../options.ts';
import type { Provider } from '../provider.ts';
import { longestDelayMs, type When } from '../schedule.ts';

/** A cron expression (node-cron's optional seconds too) or an interval such as `5m`. */
const schedule = z.string().transform((text, context): When => {
  const everyMs = parseDuration(text);
  if (everyMs !== undefined && everyMs >= 1000) return { everyMs };
  if (everyMs === undefined && cron.validate(text)) return { cron: text };
  context.addIssue({
    code: 'custom',
    message: `${JSON.stringify(text)} is no schedule: write a cron expression such as "*/5 * * * *", or an interval of at least 1s such as 5m`,
  });
  return z.NEVER;
});

/** Node's timers overflow beyond this and fire at once. */
const deadline = duration.refine(
  (milliseconds) => milliseconds <= longestDelayMs,
  'is too long for a deadline: 24d at most',
);

const patterns = z.array(z.string().min(1));

const images = z.strictObject({
  perRepository: z
    .int()
    .min(0)
    .max(1000)
    .describe('So many of the newest tagged images of each repository are exported one by one (default 3)')
    .optional(),
  tags: patterns
    .describe('Images with a tag that matches one of these patterns are exported one by one too')
    .optional(),
});

/** What `defaults` and each registry have in common. */
const common = {
  schedule: schedule
    .describe('When to poll: a cron expression or an interval such as 5m (default */5 * * * *)')
    .optional(),
  timeout: deadline.describe('Deadline of a whole poll (default 4m)').optional(),
  staleAfter: duration
    .describe('Age at which data is no longer exported (default 3 intervals, at least 15m)')
    .optional(),
  maxSeries: z.int().positive().describe('Series per registry at most (default 200000)').optional(),
  images: images.optional(),
};

const http = z.strictObject({
  maxConcurrent: z.int().min(1).max(256).describe('Requests at once (default 8)').optional(),
  requestsPerSecond: z
    .number()
    .positive()
    .describe('Requests per second at most (default: no limit)')
    .optional(),
  timeout: deadline.describe('Deadline of a single request (default 30s)').optional(),
  maxBytes: byteSize.describe('Largest answer that is read, such as 32MiB (the default)').optional(),
  retries: z
    .int()
    .min(0)
    .max(20)
    .describe(
      'Attempts after the first (default 4); of what hangs only as many as fit into a quarter of the poll',
    )
    .optional(),
});

/** Push events make counters go up: the token of those who may send them must be hard to guess. */
export const shortestEventsToken = 16;

const imageName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9.-]*(:\d+)?(\/[a-z0-9._-]+)*$/,
    'is no host, or host and path, such as mirror.example.com/hub',
  );

/** What each registry has besides its provider's own options. */
const registryCommon = {
  ...common,
  name: z
    .string()
    .regex(
      /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/,
      'a name has up to 63 letters, digits, dots, dashes and underscores',
    )
    .describe('Value of the label registry; unique'),
  repositories: z
    .strictObject({
      include: patterns
        .min(1, 'no repository would be read: give at least one pattern, or leave it out')
        .describe('Patterns of repositories to read (default **)')
        .optional(),
      exclude: patterns.describe('Patterns of repositories to leave out').optional(),
    })
    .optional(),
  http: http.optional(),
  tls: tlsFiles.optional(),
  retention: z
    .strictObject({
      keepLast: z
        .int()
        .min(0)
        .describe('The newest tagged images that are kept whatever their age')
        .optional(),
      maxAge: duration.describe('Age from which a tagged image is stale').optional(),
      untaggedMaxAge: duration.describe('Age from which an untagged image is stale').optional(),
    })
    .describe('What you expect your retention policy to keep; measured as stale_images and reclaimable_bytes')
    .optional(),
  hosts: z
    .array(
      z.union([
        imageName,
        z.strictObject({
          from: imageName.describe(
            'What the names of running images begin with, such as mirror.example.com/hub',
          ),
          to: z
            .string()
            .regex(/^([^/]+(\/[^/]+)*)?$/, 'has a slash at its beginning or end')
            .describe("What the repository's name begins with instead; empty for nothing"),
        }),
      ]),
    )
    .describe(
      'Other names that running images have which come from this registry: aliases, mirrors and caches before it',
    )
    .optional(),
  events: z
    .strictObject({
      token: z
        .string()
        .min(shortestEventsToken)
        .regex(/\S/, 'is blank')
        .describe('Secret that push events carry; better from tokenFile')
        .optional(),
      tokenFile: z.string().min(1).describe('File that holds the secret').optional(),
      oidc: z
        .strictObject({
          audience: z.string().min(1).max(1000).describe('Audience of the token, as the subscription has it'),
          email: z
            .string()
            .regex(/^[^@\s]+@[^@\s]+$/, 'is no address of a service account')
            .describe('Service account of the subscription'),
          certificates: endpointUrl
            .describe("Address of Google's certificates (default https://www.googleapis.com/oauth2/v1/certs)")
            .optional(),
        })
        .describe(
          'Instead of the secret or besides it: a token that Google signs, as Pub/Sub push subscriptions show',
        )
        .optional(),
    })
    .describe('Accepts push events at /events/<registry>')
    .optional(),
};

/** What an entry has besides where its provider's entries may cover several registries. */
const placesCommon = {
  nameTemplate: z
    .string()
    .min(1)
    .describe(
      'Names of the registries that the entry covers, such as "{name}-{region}" (default: {name} and all values)',
    )
    .optional(),
  placesInterval: duration.describe('How often they are looked for (default 10m)').optional(),
};

/** `inUse:`: the sources of what runs. */
function inUseSchema() {
  const [first, ...rest] = Object.values(sourceKinds).map((kind) =>
    z.strictObject({
      type: z.literal(kind.type),
      ...sourceCommon,
      ...kind.options.shape,
    } as { type: z.ZodLiteral<string> } & typeof sourceCommon),
  );
  if (!first) throw new Error('no kinds of sources');
  return z.strictObject({
    maxImages: z
      .int()
      .min(1)
      .max(100_000)
      .describe('Images in use of one registry that are exported one by one, at most (default 2000)')
      .optional(),
    sources: z.array(z.discriminatedUnion('type', [first, ...rest])).min(1, 'at least one source'),
  });
}

/** The schema of the whole document for these providers. */
export function createConfigSchema(providers: Readonly<Record<string, Provider>>) {
  const registries = Object.values(providers).map((provider) =>
    z.strictObject({
      type: z.literal(provider.type),
      ...registryCommon,
      ...(provider.places && placesCommon),
      ...provider.options.shape,
    } as { type: z.ZodLiteral<string> } & typeof registryCommon & typeof placesCommon),
  );
  const [first, ...rest] = registries;
  if (!first) throw new Error('no providers');
  return z.strictObject({
    defaults: z.strictObject(common).describe('For every registry that does not say otherwise').optional(),
    registries: z
      .array(z.discriminatedUnion('type', [first, ...rest]))
      .min(1, 'at least one registry')
      .describe('The registries to watch'),
    inUse: inUseSchema().describe('Where to read which images run').optional(),
    shards: z
      .int()
      .min(1)
      .max(1000)
      .describe(
        'How many exporters divide these registries among them; each says with --shard which it is (default 1)',
      )
      .optional(),
  });
}

/** Names of the settings that are not a provider's own. */
export const commonKeys: readonly string[] = [
  'type',
  ...Object.keys(registryCommon),
  ...Object.keys(placesCommon),
];
