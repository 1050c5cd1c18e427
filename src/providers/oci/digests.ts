import type { Attempt, Attempts } from '../../failing.ts';
import { largestAnswer } from '../../http.ts';
import { type ConfigRecord, parseConfig } from '../../images/config.ts';
import { blobId } from '../../images/digest.ts';
import { type Document, type ManifestRecord, parseManifest, type ReportForm } from '../../images/manifest.ts';
import { parseReport, type Report } from '../../images/report.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution } from './client.ts';

const day = 86_400;
/** Raised when records of an older form would be wrong. */
const form = 2;

/** What a digest names never changes: each is fetched once and remembered as a small record. */
export interface Digests {
  /**
   * The manifest; `gone` where the registry does not have it, which is remembered for a day of a `listed` one that
   * another manifest names. Also accounts its blobs to the registry's storage.
   */
  manifest(attempts: Attempts, wanted: Wanted): Promise<Attempt<ManifestRecord | 'gone'>>;
  /** Whether a manifest was read before, here or in another repository. */
  remembers(digest: string): boolean;
  config(attempts: Attempts, repository: string, digest: string): Promise<Attempt<ConfigRecord>>;
  /** Undefined for a report that says nothing of vulnerabilities; `odd` for one that cannot be understood. */
  report(
    attempts: Attempts,
    repository: string,
    digest: string,
    form: ReportForm,
  ): Promise<Attempt<Report | undefined | 'odd'>>;
  /** Bytes of all that was seen, each blob once; undefined when something was not seen. */
  storageBytes(): number | undefined;
  /** Something is missing from what was seen: the registry's storage is unknown in this cycle. */
  incomplete(): void;
}

export interface Wanted {
  readonly repository: string;
  readonly digest: string;
  /** Whether another manifest names it. */
  readonly listed: boolean;
  /** The manifest itself, where it has been read already. */
  readonly document?: Document | undefined;
}

/** A report that is not in the form that its media type promises. */
interface OddReport {
  readonly odd: true;
}

export function createDigests(client: Distribution, context: CollectContext): Digests {
  const { memory } = context;
  const seen = new Set<number>();
  let storage: number | undefined = 0;

  const add = (id: number, bytes: number) => {
    if (storage === undefined || seen.has(id)) return;
    seen.add(id);
    storage += bytes;
  };
  const account = (digest: string, record: ManifestRecord) => {
    add(blobId(digest), record.bytes);
    for (let at = 0; at < (record.blobs?.length ?? 0); at += 2)
      add(record.blobs?.[at] ?? 0, record.blobs?.[at + 1] ?? 0);
    if (!record.blobs) storage = undefined;
  };
  const tellOdd = (what: string, repository: string, digest: string, odd: string, effect: string) =>
    context.tell(
      `odd ${what} ${digest}`,
      { repository, digest, problem: odd },
      `the ${what} is odd: ${effect}`,
    );
  const recordOf = (repository: string, digest: string, document: Document): ManifestRecord => {
    const record = parsedManifest(document);
    memory.set(`manifest/${form} ${digest}`, record);
    return noted(repository, digest, record);
  };
  const noted = (repository: string, digest: string, record: ManifestRecord): ManifestRecord => {
    account(digest, record);
    if (record.odd !== undefined)
      tellOdd('manifest', repository, digest, record.odd, 'what depends on that part of it is unknown');
    return record;
  };

  return {
    async manifest(attempts, { repository, digest, listed, document }) {
      const known = memory.get<ManifestRecord>(`manifest/${form} ${digest}`);
      if (known) return { value: noted(repository, digest, known.value) };
      if (document) return { value: recordOf(repository, digest, document) };
      // An index may list platforms that were never copied here; they are looked for once a day.
      const absentKey = `absent ${repository} ${digest}`;
      const absent = listed ? memory.get(absentKey) : undefined;
      if (absent && context.now() - absent.storedAt < day) return { value: 'gone' };
      const effect = 'it has no size, and what counts all images is unknown where it may be one';
      const read = await attempts.attempt({ kind: 'manifest', name: digest, effect }, async () => {
        const fetched = await client.manifest(repository, digest);
        if (fetched) return recordOf(repository, digest, fetched);
        if (listed) memory.set(absentKey, true);
        return 'gone' as const;
      });
      if (!('value' in read)) storage = undefined;
      return read;
    },
    async config(attempts, repository, digest) {
      const noteOdd = (record: ConfigRecord): ConfigRecord => {
        if (record.odd !== undefined)
          tellOdd('config', repository, digest, record.odd, 'the time of the image may be unknown');
        return record;
      };
      const key = `config/${form} ${digest}`;
      const known = memory.get<ConfigRecord>(key);
      if (known) return { value: noteOdd(known.value) };
      const effect = 'the time of the image is unknown';
      return attempts.attempt({ kind: 'config', name: digest, effect }, async () => {
        const record = parseConfig(await client.blob(repository, digest, largestAnswer.manifest));
        memory.set(key, record);
        return noteOdd(record);
      });
    },
    async report(attempts, repository, digest, reportForm) {
      const key = `report/${form} ${reportForm} ${digest}`;
      const noted = (value: Report | OddReport | null): Report | undefined | 'odd' => {
        if (value === null) return undefined;
        if (!('odd' in value)) return value;
        const effect = 'its image has no findings';
        tellOdd('report', repository, digest, 'it is not in the form that its media type says', effect);
        return 'odd';
      };
      const known = memory.get<Report | OddReport | null>(key);
      if (known) return { value: noted(known.value) };
      const effect = 'its image has no findings';
      return attempts.attempt({ kind: 'report', name: digest, effect }, async () => {
        const document = await client.blob(repository, digest);
        let report: Report | OddReport | null;
        try {
          report = (await parseReport(reportForm, document)) ?? null;
        } catch {
          report = { odd: true };
        }
        memory.set(key, report);
        return noted(report);
      });
    },
    remembers: (digest) => memory.get(`manifest/${form} ${digest}`) !== undefined,
    storageBytes: () => (Number.isSafeInteger(storage) ? storage : undefined),
    incomplete() {
      storage = undefined;
    },
  };
}

/** What is in the place of a manifest and cannot be one is something else that the registry holds. */
function parsedManifest(document: Document): ManifestRecord {
  try {
    return parseManifest(document);
  } catch {
    return {
      kind: 'other',
      bytes: document.body.length,
      odd: 'it is none of the documents that a registry may hold',
    };
  }
}
