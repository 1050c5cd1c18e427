import type { Attempt, Attempts, Thing } from '../../failing.ts';
import { largestAnswer } from '../../http.ts';
import { type ConfigRecord, parseConfig } from '../../images/config.ts';
import { blobId } from '../../images/digest.ts';
import { type Document, type ManifestRecord, parseManifest, type ReportForm } from '../../images/manifest.ts';
import { parseReport, type Report } from '../../images/report.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution } from './client.ts';

const day = 86_400;
/** Raised when records of an older form would be wrong. */
const form = 3;

/** A manifest to read. */
export interface WantedManifest {
  readonly repository: string;
  readonly digest: string;
  /** Whether another manifest names it. */
  readonly listed: boolean;
  /** The manifest itself, where it has been read already. */
  readonly document?: Document | undefined;
}

/** `null` for a report about something else than vulnerabilities; odd where it cannot be understood. */
type ReportRecord = Report | { readonly odd: string } | null;

/** What a digest names never changes: each is fetched once and remembered as a small record. */
export class Digests {
  readonly #client: Distribution;
  readonly #context: CollectContext;
  /** Blobs and manifests that are accounted for, by {@link blobId}. */
  readonly #accounted = new Set<number>();
  #storage: number | undefined = 0;

  constructor(client: Distribution, context: CollectContext) {
    this.#client = client;
    this.#context = context;
  }

  /**
   * Reads a manifest, and accounts its blobs to the registry's storage.
   * @returns `gone` where the registry does not have it; of one that another manifest names, that is remembered for a day
   */
  async manifest(attempts: Attempts, wanted: WantedManifest): Promise<Attempt<ManifestRecord | 'gone'>> {
    const { repository, digest, listed, document } = wanted;
    const { memory, now } = this.#context;
    const remembered = memory.get<ManifestRecord>(`manifest/${form} ${digest}`);
    if (remembered) return { value: this.#account(wanted, remembered.value) };
    if (document) return { value: this.#remember(wanted, document) };
    // An index may list platforms that were never copied here.
    const absentKey = `absent ${repository} ${digest}`;
    const absent = listed ? memory.get(absentKey) : undefined;
    if (absent && now() - absent.storedAt < day) return { value: 'gone' };
    const effect = 'it has no size, and what counts all images is unknown where it may be one';
    // What others name may be much more than what has tags.
    const thing = { kind: 'manifest', name: digest, effect, detail: listed };
    const read = await attempts.attempt(thing, async () => {
      const fetched = await this.#client.manifest(repository, digest);
      if (fetched) return this.#remember(wanted, fetched);
      if (listed) memory.set(absentKey, true);
      return 'gone' as const;
    });
    if (!('value' in read)) this.incomplete();
    return read;
  }

  /** Whether a manifest was read before, here or in another repository. */
  remembers(digest: string): boolean {
    return this.#context.memory.get(`manifest/${form} ${digest}`) !== undefined;
  }

  async config(attempts: Attempts, repository: string, digest: string): Promise<Attempt<ConfigRecord>> {
    // All of them fail where the store of blobs cannot be reached from here: manifests tell the rest.
    const effect = 'the time of the image is unknown';
    const thing = { kind: 'config', name: digest, effect, detail: true };
    const read = await this.#once(attempts, thing, `config/${form} ${digest}`, async () =>
      parseConfig(await this.#client.blob(repository, digest, largestAnswer.manifest)),
    );
    if ('value' in read && read.value.odd !== undefined)
      this.#tellOdd('config', repository, digest, read.value.odd, 'the time of the image may be unknown');
    return read;
  }

  /** Undefined for a report about something else than vulnerabilities; `odd` for one that cannot be understood. */
  async report(
    attempts: Attempts,
    repository: string,
    digest: string,
    reportForm: ReportForm,
  ): Promise<Attempt<Report | undefined | 'odd'>> {
    const effect = 'its image has no findings';
    const thing = { kind: 'report', name: digest, effect };
    const key = `report/${form} ${reportForm} ${digest}`;
    const read = await this.#once<ReportRecord>(attempts, thing, key, async () => {
      const document = await this.#client.blob(repository, digest);
      try {
        return (await parseReport(reportForm, document)) ?? null;
      } catch {
        return { odd: 'it is not in the form that its media type says' };
      }
    });
    if (!('value' in read)) return read;
    const record = read.value;
    if (record === null || !('odd' in record)) return { value: record ?? undefined };
    this.#tellOdd('report', repository, digest, record.odd, effect);
    return { value: 'odd' };
  }

  /** Bytes of all that was seen, each blob once; undefined where something was not seen. */
  storageBytes(): number | undefined {
    return Number.isSafeInteger(this.#storage) ? this.#storage : undefined;
  }

  /** Notes that something was not seen: the registry's storage is unknown in this poll. */
  incomplete(): void {
    this.#storage = undefined;
  }

  /** Remembered, or read for the first time. */
  async #once<T>(attempts: Attempts, thing: Thing, key: string, read: () => Promise<T>): Promise<Attempt<T>> {
    const { memory } = this.#context;
    const remembered = memory.get<T>(key);
    if (remembered) return remembered;
    return attempts.attempt(thing, async () => {
      const record = await read();
      memory.set(key, record);
      return record;
    });
  }

  #remember(wanted: WantedManifest, document: Document): ManifestRecord {
    const record = recordOf(document);
    this.#context.memory.set(`manifest/${form} ${wanted.digest}`, record);
    return this.#account(wanted, record);
  }

  #account({ repository, digest }: WantedManifest, record: ManifestRecord): ManifestRecord {
    const { bytes, blobs } = record;
    this.#add(blobId(digest), bytes);
    for (let at = 0; at < (blobs?.length ?? 0); at += 2) this.#add(blobs?.[at] ?? 0, blobs?.[at + 1] ?? 0);
    if (!blobs) this.incomplete();
    if (record.odd !== undefined)
      this.#tellOdd('manifest', repository, digest, record.odd, 'what depends on that part of it is unknown');
    return record;
  }

  #add(id: number, bytes: number): void {
    if (this.#storage === undefined || this.#accounted.has(id)) return;
    this.#accounted.add(id);
    this.#storage += bytes;
  }

  #tellOdd(what: string, repository: string, digest: string, problem: string, effect: string): void {
    this.#context.tell(
      `odd ${what} ${digest}`,
      { repository, digest, problem },
      `the ${what} is odd: ${effect}`,
    );
  }
}

/** What stands in the place of a manifest and cannot be one is something else that the registry holds. */
function recordOf(document: Document): ManifestRecord {
  try {
    return parseManifest(document);
  } catch {
    const odd = 'it is none of the documents that a registry may hold';
    return { kind: 'other', bytes: document.body.length, odd };
  }
}
