import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { severityCounts, severityOfWord } from '../../images/severity.ts';
import type { Findings, Image } from '../../model.ts';
import { needing } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { list, optional, text, wholeList } from '../../wire.ts';
import type { Api } from './api.ts';
import type { Manifest, Target } from './layout.ts';

/** What Xray says of one manifest. */
export type Scan = Pick<Image, 'findings' | 'scanStatus' | 'scannedAt'>;

/** What Xray says of some manifests, by digest. */
export interface Scans {
  readonly of: ReadonlyMap<string, Scan>;
  /** Those of which it could not be read. */
  readonly unknown: ReadonlySet<string>;
}

/** Findings of images by the summary of artifacts: for an Xray that has no list of scans (before 3.54). */
export interface Summaries {
  scansOf(target: Target, manifests: readonly Manifest[]): Promise<Scans>;
}

/** Answers hold every issue in full: few images at once keep them small. */
const perRequest = 20;
const rememberedSeconds = 6 * 3600;
/** How often an image is asked for again that was not scanned yet. */
const openSeconds = 900;

/**
 * https://jfrog.com/help/r/xray-rest-apis/artifact-summary; either list may be left out, as of JFrog's own client:
 * https://github.com/jfrog/jfrog-client-go/blob/v1.54.0/xray/services/summary.go
 */
const summary = z
  .object({
    artifacts: list(
      'artifacts',
      z.object({
        general: z.object({ sha256: text }),
        // An issue that cannot be understood would be missing in a count: then the counts are unknown.
        issues: optional(
          'issues',
          wholeList(
            z.object({
              severity: text,
              issue_type: z.string().nullish(),
              components: wholeList(z.object({ fixed_versions: wholeList(z.string()).nullish() })).nullish(),
            }),
          ),
        ),
      }),
    ).nullish(),
    errors: optional('errors', list('errors', z.object({ identifier: text }))),
  })
  .refine(
    ({ artifacts, errors }) => artifacts !== undefined || errors !== undefined,
    'neither artifacts nor errors',
  );

type Summary = z.infer<typeof summary>;
type Issues = NonNullable<NonNullable<Summary['artifacts']>[number]['issues']>;

function findingsOf(issues: Issues): Findings {
  // Licences and outdated packages are listed too.
  const security = issues.filter(({ issue_type: type }) => !type || type.toLowerCase() === 'security');
  const countsOf = (some: Issues) =>
    severityCounts(some.map(({ severity }) => [severityOfWord(severity) ?? 'UNKNOWN', 1]));
  const isFixable = ({ components }: Issues[number]) =>
    components?.some(({ fixed_versions }) => (fixed_versions ?? []).length > 0) === true;
  return {
    counts: countsOf(security),
    fixable: security.every(({ components }) => components)
      ? countsOf(security.filter(isFixable))
      : undefined,
  };
}

/** Tells that Xray knows images and does not say what it found in them: an empty list of issues would be one. */
export const tellOfUntold = ({ tell }: Pick<CollectContext, 'tell'>, { key }: Target): void =>
  tell(
    `no findings ${key}`,
    { key },
    'Xray does not say what it found in images of a repository, although it knows them: their findings are unknown',
  );

/** Whether there is an Xray. @throws CollectError where there was one before: it is not absent but down */
async function isThere(api: Api, { memory }: CollectContext): Promise<boolean> {
  const path = 'xray/api/v1/system/ping';
  const { status, body } = await api.request({ path, operation: 'xray_ping', accept: [404] });
  if (status !== 404 && body.toString('utf8').includes('pong')) return true;
  if (!memory.get('xray')) return false;
  throw new CollectError('not_found', 'Xray was there before, and now nothing answers at /xray: is it down?');
}

/** Asks for summaries by checksum; by the older of two addresses where the newer is not there. */
function createSummary(api: Api) {
  let version: 'v2' | 'v1' = 'v2';
  return async (digests: readonly string[]): Promise<Summary> => {
    const checksums = digests.map((digest) => digest.replace('sha256:', ''));
    const ask = () =>
      api.read(
        {
          path: `xray/api/${version}/summary/artifact`,
          post: { type: 'application/json', body: JSON.stringify({ checksums }) },
          operation: 'xray_summary',
          idempotent: true,
          ...(version === 'v2' && { accept: [404] }),
        },
        summary,
      );
    const answer = await ask();
    if (answer) return answer;
    version = 'v1';
    return (await ask()) as Summary;
  };
}

export async function summariesOf(api: Api, context: CollectContext): Promise<Summaries> {
  const { memory } = context;
  if (!(await isThere(api, context))) {
    context.absent('findings');
    return { scansOf: async () => ({ of: new Map(), unknown: new Set() }) };
  }
  const ask = createSummary(api);

  /** A scan that is remembered and may still stand. */
  function remembered(digest: string): Scan | undefined {
    const scan = memory.get<Scan>(`summary ${digest}`);
    const lasts = scan?.value.scanStatus === 'complete' ? rememberedSeconds : openSeconds;
    return scan && context.now() - scan.storedAt < lasts ? scan.value : undefined;
  }

  function* scansIn({ artifacts, errors }: Summary, asked: readonly string[]): Generator<[string, Scan]> {
    for (const { general, issues } of artifacts ?? []) {
      const digest = `sha256:${general.sha256}`;
      if (asked.includes(digest) && issues)
        yield [digest, { findings: findingsOf(issues), scanStatus: 'complete' }];
    }
    // "Artifact doesn't exist or not indexed/cached in Xray"
    for (const { identifier } of errors ?? []) {
      const digest = asked.find((candidate) => candidate.endsWith(identifier.replace('sha256:', '')));
      if (digest !== undefined) yield [digest, { scanStatus: 'none' }];
    }
  }

  return {
    async scansOf(target, manifests) {
      const scans = new Map<string, Scan>();
      const open = new Set<string>();
      for (const { digest } of manifests.filter(({ index }) => !index)) {
        const scan = remembered(digest);
        if (scan) scans.set(digest, scan);
        else open.add(digest);
      }
      const digests = [...open];
      for (let at = 0; at < digests.length; at += perRequest) {
        const asked = digests.slice(at, at + perRequest);
        const answer = await ask(asked).catch((error) => {
          throw needing(`the permission Read on ${target.key}`, error);
        });
        for (const [digest, scan] of scansIn(answer, asked)) {
          scans.set(digest, scan);
          memory.set(`summary ${digest}`, scan);
        }
      }
      const unknown = new Set(digests.filter((digest) => !scans.has(digest)));
      if (unknown.size > 0) tellOfUntold(context, target);
      return { of: scans, unknown };
    },
  };
}
