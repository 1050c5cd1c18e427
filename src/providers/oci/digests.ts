import { CollectError } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution } from './client.ts';
import { type ConfigRecord, parseConfig } from './config-blob.ts';
import { blobId, type ManifestRecord, parseManifest, type ReportForm } from './manifest.ts';
import { parseReport, type Report } from './reports.ts';

const day = 86_400;

/** What a digest names never changes: each is fetched once and remembered as a small record. */
export interface Digests {
  /**
   * Undefined: the registry does not have it; of a `listed` one, which another manifest names, that is remembered for
   * a day. Also accounts its blobs to the registry's storage.
   */
  manifest(repository: string, digest: string, listed: boolean): Promise<ManifestRecord | undefined>;
  /** Undefined: it could not be read, which is reported. */
  config(repository: string, digest: string): Promise<ConfigRecord | undefined>;
  /** @throws CollectError when it cannot be read or is not in the form that its media type promises. */
  report(repository: string, digest: string, form: ReportForm): Promise<Report>;
  /** Bytes of all that was seen, each blob once; undefined when something was not seen. */
  storageBytes(): number | undefined;
  /** Something is missing from what was seen: the registry's storage is unknown in this cycle. */
  incomplete(): void;
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
  const parsed = <T>(what: string, parse: () => T): T => {
    try {
      return parse();
    } catch (cause) {
      throw new CollectError('invalid_response', `${what} is not what its media type says`, { cause });
    }
  };

  return {
    async manifest(repository, digest, listed) {
      const known = memory.get<ManifestRecord>(`manifest ${digest}`);
      if (known) {
        account(digest, known.value);
        return known.value;
      }
      // An index may list platforms that were never copied here; they are looked for once a day.
      const absentKey = `absent ${repository} ${digest}`;
      const absent = listed ? memory.get(absentKey) : undefined;
      if (absent && context.now() - absent.storedAt < day) return undefined;
      const body = await client.manifest(repository, digest);
      if (!body) {
        if (listed) memory.set(absentKey, true);
        return undefined;
      }
      const record = parsed(`manifest ${digest} of ${repository}`, () => parseManifest(body));
      memory.set(`manifest ${digest}`, record);
      account(digest, record);
      return record;
    },
    async config(repository, digest) {
      const known = memory.get<ConfigRecord>(`config ${digest}`);
      if (known) return known.value;
      try {
        const body = await client.blob(repository, digest);
        const record = parsed(`config ${digest} of ${repository}`, () => parseConfig(body));
        memory.set(`config ${digest}`, record);
        return record;
      } catch (error) {
        if (context.signal.aborted) throw error;
        // Without its time an image takes another's place among the newest: only what will not mend is passed over.
        if (!(error instanceof CollectError) || !['not_found', 'too_large'].includes(error.reason))
          throw error;
        context.degraded('push_times', error);
        return undefined;
      }
    },
    async report(repository, digest, form) {
      const known = memory.get<Report>(`report ${digest}`);
      if (known) return known.value;
      const body = await client.blob(repository, digest);
      const report = parsed(`report ${digest} of ${repository}`, () => parseReport(form, body));
      memory.set(`report ${digest}`, report);
      return report;
    },
    storageBytes: () => storage,
    incomplete() {
      storage = undefined;
    },
  };
}
