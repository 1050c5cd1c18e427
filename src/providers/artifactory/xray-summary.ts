import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import { type Findings, type Image, type Severity, type SeverityCounts, severities } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { list, optional, text, wholeList } from '../../wire.ts';
import { type Api, needing } from './api.ts';
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

const words: Readonly<Record<string, Severity>> = {
  critical: 'CRITICAL',
  high: 'HIGH',
  medium: 'MEDIUM',
  low: 'LOW',
  information: 'NEGLIGIBLE',
  unknown: 'UNKNOWN',
};
export const severityOf = (word: string): Severity => words[word.toLowerCase()] ?? 'UNKNOWN';

type Issues = NonNullable<NonNullable<z.infer<typeof summary>['artifacts']>[number]['issues']>;

function count(issues: Issues): Findings {
  const zero = () =>
    Object.fromEntries(severities.map((severity) => [severity, 0])) as Record<Severity, number>;
  const [counts, fixable] = [zero(), zero()];
  let tellsFixes = true;
  for (const { severity, issue_type, components } of issues) {
    // Licences and outdated packages are listed too.
    if (issue_type && issue_type.toLowerCase() !== 'security') continue;
    counts[severityOf(severity)] += 1;
    if (!components) tellsFixes = false;
    else if (components.some(({ fixed_versions }) => (fixed_versions ?? []).length > 0))
      fixable[severityOf(severity)] += 1;
  }
  return tellsFixes ? { counts, fixable: fixable as SeverityCounts } : { counts };
}

export async function summariesOf(api: Api, context: CollectContext): Promise<Summaries> {
  const { memory } = context;
  const ping = await api.request({
    path: 'xray/api/v1/system/ping',
    operation: 'xray_ping',
    accept: [404],
  });
  if (ping.status === 404 || !ping.body.toString('utf8').includes('pong')) {
    // Where it was before, it is not absent but down.
    if (memory.get('xray'))
      throw new CollectError(
        'not_found',
        'Xray was there before, and now nothing answers at /xray: is it down?',
      );
    context.absent('findings');
    context.log.debug({}, 'there is no Xray: findings are not to be had');
    return { scansOf: async () => ({ of: new Map(), unknown: new Set() }) };
  }
  let version: 'v2' | 'v1' = 'v2';

  async function ask(digests: readonly string[]) {
    for (;;) {
      const response = await api.request({
        path: `xray/api/${version}/summary/artifact`,
        post: {
          type: 'application/json',
          body: JSON.stringify({ checksums: digests.map((digest) => digest.replace('sha256:', '')) }),
        },
        operation: 'xray_summary',
        idempotent: true,
        ...(version === 'v2' && { accept: [404] }),
      });
      if (response.status === 404) version = 'v1';
      else return json(response, summary);
    }
  }

  return {
    async scansOf(target, manifests) {
      const scans = new Map<string, Scan>();
      const open: string[] = [];
      for (const { digest, index } of manifests) {
        if (index) continue;
        const known = memory.get<Scan>(`summary ${digest}`);
        const lasts = known?.value.scanStatus === 'complete' ? rememberedSeconds : openSeconds;
        if (known && context.now() - known.storedAt < lasts) scans.set(digest, known.value);
        else if (!scans.has(digest)) open.push(digest);
      }
      const unique = [...new Set(open)];
      for (let at = 0; at < unique.length; at += perRequest) {
        const asked = unique.slice(at, at + perRequest);
        try {
          const { artifacts, errors } = await ask(asked);
          for (const { general, issues } of artifacts ?? []) {
            const digest = `sha256:${general.sha256}`;
            if (!asked.includes(digest) || !issues) continue;
            const scan: Scan = { findings: count(issues), scanStatus: 'complete' };
            scans.set(digest, scan);
            memory.set(`summary ${digest}`, scan);
          }
          // "Artifact doesn't exist or not indexed/cached in Xray"
          for (const { identifier } of errors ?? []) {
            const digest = asked.find((one) => one.endsWith(identifier.replace('sha256:', '')));
            if (digest === undefined) continue;
            scans.set(digest, { scanStatus: 'none' });
            memory.set(`summary ${digest}`, { scanStatus: 'none' });
          }
        } catch (error) {
          throw needing(`the permission Read on ${target.key}`, error);
        }
      }
      return { of: scans, unknown: new Set(unique.filter((digest) => !scans.has(digest))) };
    },
  };
}
