import type { Attempts, Unread } from '../../failing.ts';
import type { ConfigRecord } from '../../images/config.ts';
import type { Child, Document, ManifestRecord } from '../../images/manifest.ts';
import type { Kind } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Digests } from './digests.ts';

/** A manifest of the repository and what is known of it. */
export interface Described {
  readonly digest: string;
  readonly record: ManifestRecord;
  readonly kind: Kind;
  readonly config?: ConfigRecord | undefined;
  /** Of an index: its platforms and attestations (nested indexes resolved), as far as they are there. */
  readonly parts: readonly Described[];
  /** Of an index: its platforms, those that are not there included; absent where not all can be named. */
  readonly platforms?: readonly string[] | undefined;
  /** When it was made, since the protocol has no push times. */
  readonly pushedAt?: number | undefined;
  /** The time exists and could not be read. */
  readonly timeUnread: boolean;
}

interface Scope {
  readonly context: Pick<CollectContext, 'tell'>;
  readonly digests: Digests;
  readonly attempts: Attempts;
  readonly repository: string;
}

/** An index may list indexes; deeper than this it is not something that people build. */
const deepest = 3;
/** An index lists tens of platforms; of more than so many, none is read. */
const mostChildren = 500;

const maximum = (times: readonly (number | undefined)[]): number | undefined =>
  times.reduce((a, b) => (a === undefined || (b !== undefined && b > a) ? b : a), undefined);

/** What the registry has lost or never takes is not there to be read; what failed otherwise may be read later. */
const isLost = ({ error }: Unread): boolean => error.reason === 'not_found' || error.reason === 'too_large';

/**
 * Reads a manifest and all that it consists of.
 * @returns `gone` where the registry does not have it
 */
export async function describe(
  scope: Scope,
  digest: string,
  from: { readonly document?: Document | undefined; readonly depth?: number } = {},
): Promise<Described | Unread | 'gone'> {
  const { digests, attempts, repository } = scope;
  const { document, depth = 0 } = from;
  const read = await digests.manifest(attempts, { repository, digest, listed: depth > 0, document });
  if (!('value' in read)) return read;
  const record = read.value;
  if (record === 'gone') return record;
  const { kind } = record;
  if (kind === 'index') return describeIndex(scope, digest, record, depth);
  if (record.config === undefined) return { digest, record, kind, parts: [], timeUnread: false };
  const config = await digests.config(attempts, repository, record.config);
  const known = 'value' in config ? config.value : undefined;
  return {
    digest,
    record,
    kind,
    config: known,
    parts: [],
    pushedAt: known?.createdAt,
    timeUnread: 'value' in config ? config.value.timeOdd === true : !isLost(config),
  };
}

/** What stands in an index and could not be read: what it is, the index says; the rest is unknown. */
const unreadPart = ({ digest, kind = 'image' }: Child): Described => ({
  digest,
  record: { kind, bytes: 0 },
  kind,
  parts: [],
  timeUnread: true,
});

/** An image whose configuration the registry has lost, or could not be read. */
const lacksTime = ({ kind, record, config, timeUnread }: Described): boolean =>
  timeUnread ||
  (kind === 'image' && (record.config !== undefined || record.blobs === undefined) && config === undefined);

async function describeIndex(
  scope: Scope,
  digest: string,
  record: ManifestRecord,
  depth: number,
): Promise<Described> {
  const parts: Described[] = [];
  const platforms: string[] = [];
  const children = record.children ?? [];
  let absent = 0;
  let named = record.incomplete !== true;
  // What is not read is listed all the same: the size of the index is then unknown, and not too small.
  if (depth >= deepest || children.length > mostChildren) {
    platforms.push(...children.map((child) => child.digest));
    scope.context.tell(
      `unread platforms ${digest}`,
      { repository: scope.repository, digest, platforms: children.length },
      `an index lists more than ${mostChildren} manifests, or indexes within indexes: they are not read, and its size and time are unknown`,
    );
  } else
    for (const child of children) {
      const read = await describe(scope, child.digest, { depth: depth + 1 });
      if (read === 'gone') {
        if (child.kind === 'attestation') continue;
        absent += 1;
        platforms.push(child.digest);
        continue;
      }
      const part = 'error' in read ? unreadPart(child) : read;
      if (part.kind === 'index') {
        parts.push(...part.parts);
        if (part.platforms) platforms.push(...part.platforms);
        else named = false;
      } else {
        const kind = partKind(child, part);
        parts.push(kind === part.kind ? part : { ...part, kind });
        if (kind !== 'attestation') platforms.push(child.digest);
      }
    }
  if (absent > 0)
    scope.context.tell(
      `absent platforms ${digest}`,
      { repository: scope.repository, digest, platforms: absent },
      'the registry does not have all platforms that an index lists: the size of the index is unknown',
    );
  const images = parts.filter((part) => part.kind === 'image');
  // The newest of some platforms may be older than the index.
  const timed = named && !images.some(lacksTime);
  return {
    digest,
    record,
    kind: indexKind(parts, platforms.length),
    parts: timed ? parts : parts.map(({ pushedAt: _, ...part }) => part),
    platforms: named ? platforms : undefined,
    pushedAt: timed ? maximum(images.map((part) => part.pushedAt)) : undefined,
    timeUnread: !named || images.some((part) => part.timeUnread),
  };
}

/** What the index says of an attestation is right: buildx writes the configuration of an image into it. */
const partKind = (child: Child, part: Described): Kind =>
  child.kind === 'attestation' ? 'attestation' : part.kind;

/** An index of charts or of other artifacts alone is no image, as long as all of them are there. */
function indexKind(parts: readonly Described[], platforms: number): Kind {
  const kinds = new Set(parts.filter((part) => part.kind !== 'attestation').map((part) => part.kind));
  if (kinds.size === 0 || kinds.has('image')) return 'index';
  const missing = platforms > parts.filter((part) => part.kind !== 'attestation').length;
  if (missing) return 'index';
  const [only = 'other'] = kinds;
  return kinds.size === 1 ? only : 'other';
}

/** Whether nothing in the image's configuration looks like a secret; undefined where one was not read. */
export function hasNoSecret(image: Described): boolean | undefined {
  const clean = ({ config }: Described): boolean | undefined =>
    config?.secrets === undefined ? undefined : config.secrets === 0;
  if (image.kind !== 'index') return clean(image);
  const known = image.parts.filter((part) => part.kind === 'image').map(clean);
  if (known.includes(false)) return false;
  return known.length === 0 || known.includes(undefined) ? undefined : true;
}
