import type { Attempts, Unread } from '../../failing.ts';
import type { ConfigRecord } from '../../images/config.ts';
import type { Child, Document, ManifestRecord } from '../../images/manifest.ts';
import type { Kind } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { newestOf } from '../../times.ts';
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
  const described = { digest, record, kind, parts: [], timeUnread: false };
  if (record.config === undefined) return described;
  const config = await digests.config(attempts, repository, record.config);
  if (!('value' in config)) return { ...described, timeUnread: !isLost(config) };
  const { createdAt, timeOdd = false } = config.value;
  return { ...described, config: config.value, pushedAt: createdAt, timeUnread: timeOdd };
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

/** What an index consists of. */
interface Contents {
  readonly parts: Described[];
  readonly platforms: string[];
  /** Whether all platforms are named. */
  named: boolean;
  /** How many platforms the registry does not have. */
  absent: number;
}

async function readChildren(scope: Scope, record: ManifestRecord, depth: number): Promise<Contents> {
  const contents: Contents = { parts: [], platforms: [], named: !record.incomplete, absent: 0 };
  for (const child of record.children ?? []) {
    const read = await describe(scope, child.digest, { depth: depth + 1 });
    if (read !== 'gone') addPart(contents, child, 'error' in read ? unreadPart(child) : read);
    else if (child.kind !== 'attestation') {
      contents.absent += 1;
      contents.platforms.push(child.digest);
    }
  }
  return contents;
}

function addPart(contents: Contents, child: Child, part: Described): void {
  const { parts, platforms } = contents;
  if (part.kind === 'index') {
    parts.push(...part.parts);
    platforms.push(...(part.platforms ?? []));
    contents.named &&= part.platforms !== undefined;
    return;
  }
  // What the index says of an attestation is right: buildx writes the configuration of an image into it.
  const kind = child.kind === 'attestation' ? child.kind : part.kind;
  parts.push(kind === part.kind ? part : { ...part, kind });
  if (kind !== 'attestation') platforms.push(child.digest);
}

/** An index of which the parts are not read: they are listed, so that its size is unknown and not too small. */
function unreadChildren({ context, repository }: Scope, digest: string, record: ManifestRecord): Contents {
  const platforms = (record.children ?? []).map((child) => child.digest);
  context.tell(
    `unread platforms ${digest}`,
    { repository, digest, platforms: platforms.length },
    `an index lists more than ${mostChildren} manifests, or indexes within indexes: they are not read, and its size and time are unknown`,
  );
  return { parts: [], platforms, named: !record.incomplete, absent: 0 };
}

async function describeIndex(
  scope: Scope,
  digest: string,
  record: ManifestRecord,
  depth: number,
): Promise<Described> {
  const isRead = depth < deepest && (record.children ?? []).length <= mostChildren;
  const contents = isRead ? await readChildren(scope, record, depth) : unreadChildren(scope, digest, record);
  const { parts, platforms, named, absent } = contents;
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
    pushedAt: timed ? newestOf(images.map((part) => part.pushedAt)) : undefined,
    timeUnread: !named || images.some((part) => part.timeUnread),
  };
}

/** An index of charts or of other artifacts alone is no image, as long as all of them are there. */
function indexKind(parts: readonly Described[], platforms: number): Kind {
  const own = parts.filter((part) => part.kind !== 'attestation');
  const [only = 'index', ...others] = new Set(own.map((part) => part.kind));
  if ([only, ...others].includes('image') || platforms > own.length) return 'index';
  return others.length === 0 ? only : 'other';
}

/** Whether nothing in the image's configuration looks like a secret; undefined where one was not read. */
export function hasNoSecret(image: Described): boolean | undefined {
  const clean = ({ config }: Described): boolean | undefined =>
    config?.secrets === undefined ? undefined : config.secrets === 0;
  if (image.kind !== 'index') return clean(image);
  const platforms = image.parts.filter((part) => part.kind === 'image').map(clean);
  if (platforms.includes(false)) return false;
  return platforms.length === 0 || platforms.includes(undefined) ? undefined : true;
}
