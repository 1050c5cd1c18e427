import type { Image, Kind, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { secondsOf } from '../../times.ts';
import {
  type Artifact,
  isUnreadable,
  kindOfAccessory,
  kindOfArtifact,
  oddAtMost,
  partsOf,
  type Scanner,
  statusWithoutScan,
  tagsOf,
  type Unreadable,
} from './artifacts.ts';
import { isNever } from './fields.ts';
import { readFindings } from './findings.ts';

const attachedKinds: readonly Kind[] = ['signature', 'sbom', 'attestation', 'other'];

/** Turns the artifacts of one repository into images; they come oldest first, platforms before their index. */
export class ArtifactReader {
  readonly #context: Pick<CollectContext, 'tell'>;
  readonly #scanner: Scanner;
  readonly #seen = new Set<string>();
  readonly #unknownKinds = new Set<Kind>();
  /** Fields that could not be understood. */
  readonly #odd = new Set<string>();
  #hasLatest = false;
  #unreadTags = 0;
  #unreadable = false;
  #newestUnknown = false;
  #lastPullUnknown = false;
  #findingsUnknown = false;

  constructor(context: Pick<CollectContext, 'tell'>, scanner: Scanner) {
    this.#context = context;
    this.#scanner = scanner;
  }

  /** The image of an artifact, and what is attached to it. */
  read(artifact: Artifact | Unreadable): readonly Image[] {
    if (isUnreadable(artifact)) {
      this.#unreadable = true;
      this.#odd.add(artifact.unreadable);
      return [];
    }
    const { imageTags: tags } = tagsOf(artifact);
    if (tags.includes('latest')) this.#hasLatest = true;
    const kind = kindOfArtifact(artifact);
    this.#noteWhatIsMissing(artifact, kind);
    const isSigned = artifact.accessories.items.some(({ type }) => kindOfAccessory(type) === 'signature');
    const image: Image = {
      digest: artifact.digest,
      kind,
      tags,
      sizeBytes: kind === 'index' ? undefined : artifact.size,
      pushedAt: secondsOf(artifact.push_time),
      pulledAt: secondsOf(artifact.pull_time),
      signed: isSigned || (artifact.accessories.odd === 0 ? false : undefined),
      ...(kind === 'image' && this.#scanOf(artifact, kind)),
      ...(kind === 'index' && this.#indexOf(artifact)),
    };
    this.#seen.add(artifact.digest);
    return [image, ...accessoriesOf(artifact)];
  }

  /** What is known of the repository when all artifacts are read; fields that could not be understood are reported. */
  end(repository: string): RepositoryFacts {
    if (this.#odd.size > 0)
      this.#context.tell(
        `artifacts of ${repository}`,
        { repository, odd: [...this.#odd] },
        'parts of what Harbor says of artifacts could not be understood: what depends on them is unknown',
      );
    const areTagsKnown = !this.#unreadable && this.#unreadTags === 0;
    return {
      unreadTags: this.#unreadable ? 'all' : this.#unreadTags || undefined,
      unknownKinds: this.#unknownKinds.size > 0 ? [...this.#unknownKinds] : undefined,
      newestUnknown: this.#newestUnknown && this.#seen.size > 1,
      lastPullUnknown: this.#lastPullUnknown,
      findingsUnknown: this.#findingsUnknown,
      practices: { no_latest_tag: areTagsKnown ? !this.#hasLatest : undefined },
    };
  }

  /** Notes what is missing of an artifact, so that no smaller number takes the place of the true one. */
  #noteWhatIsMissing(artifact: Artifact, kind: Kind): void {
    const { tags, accessories, references, push_time, pull_time } = artifact;
    this.#unreadTags += tags.odd;
    // So many are no tags whose names cannot be read: how many there are is unknown.
    this.#unreadable ||= tags.odd >= oddAtMost;
    if (tags.odd > 0) this.#odd.add('tags');
    if (accessories.odd > 0) {
      for (const attached of attachedKinds) this.#unknownKinds.add(attached);
      this.#odd.add('accessories');
    }
    if (artifact.size === undefined) this.#odd.add('size');
    if (kind === 'index' && (references.odd > 0 || references.items.length === 0)) {
      // Which of the other artifacts are its platforms is unknown, and so is the worst of their findings.
      this.#unknownKinds.add('platform');
      this.#findingsUnknown = true;
      this.#odd.add('references');
    }
    this.#noteTimes(push_time, pull_time, tags.items.length > 0);
  }

  #noteTimes(pushed: unknown, pulled: unknown, isTagged: boolean): void {
    if (secondsOf(pushed) === undefined && (isTagged || !isNever(pushed))) {
      this.#newestUnknown = true;
      this.#odd.add('push_time');
    }
    if (secondsOf(pulled) === undefined && !isNever(pulled)) {
      this.#lastPullUnknown = true;
      this.#odd.add('pull_time');
    }
  }

  #scanOf(artifact: Artifact, kind: Kind): Partial<Image> {
    const findings = readFindings(this.#context, artifact.scan_overview, (field) => this.#odd.add(field));
    if (findings === 'none') return { scanStatus: statusWithoutScan(artifact, kind, this.#scanner) };
    if (findings !== 'unreadable') return findings;
    this.#findingsUnknown = true;
    this.#odd.add('scan_overview');
    return {};
  }

  #indexOf(artifact: Artifact): Partial<Image> {
    if (artifact.references.odd > 0) return {};
    const parts = partsOf(artifact);
    // Harbor merges the reports of the platforms, which hides one that failed: where they are listed they tell.
    const areListed = parts.platforms.length > 0 && parts.platforms.every((part) => this.#seen.has(part));
    return areListed
      ? parts
      : { ...parts, sizeWithPlatforms: artifact.size, ...this.#scanOf(artifact, 'index') };
  }
}

const accessoriesOf = (artifact: Artifact): Image[] =>
  artifact.accessories.items.map(({ digest, type, size, creation_time }) => ({
    digest,
    kind: kindOfAccessory(type),
    tags: [],
    sizeBytes: size,
    pushedAt: secondsOf(creation_time),
  }));
