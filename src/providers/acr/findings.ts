import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { isDigest } from '../../images/digest.ts';
import type { Findings } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, list, type Oddity, optional, pastTime, readElements, text } from '../../wire.ts';
import { quoted, type ResourceGraph } from './resource-graph.ts';

/** What Microsoft Defender for Cloud found in an image. */
interface Scan {
  readonly findings: Findings;
  /** Absent where Defender does not tell the time of the scan. */
  readonly scannedAt?: number;
}

/** By digest. An image that is not in here is unknown: not scanned, or scanned without a finding. */
export interface FindingsByDigest {
  readonly scans: ReadonlyMap<string, Scan>;
  /** Some rows could not be understood: how many images have findings is then unknown. */
  readonly incomplete: boolean;
}

/**
 * The assessments that have a sub-assessment for each finding, until Microsoft retired them on 31 July 2026 in favour
 * of one assessment for each vulnerable package of an image.
 * https://learn.microsoft.com/en-us/azure/defender-for-cloud/transition-grouped-individual-recommendations
 */
export const groupedAssessments = [
  'c0b7cfc6-3172-465a-b378-53c7ff2cc0d5',
  '33422d8f-ab1e-42be-bc9a-38685bb567b9',
] as const;

/** Severities by the names that Defender gives them; what has another name is counted as unknown. */
const severities = {
  critical: ['Critical'],
  high: ['High'],
  medium: ['Medium'],
  low: ['Low'],
  negligible: ['Negligible', 'Informational', 'None'],
  unknown: ['Unknown', ''],
} as const;

const listed = (texts: readonly string[]): string => texts.map(quoted).join(', ');

/**
 * One row for each image with counts by severity. Findings are told apart by vulnerability and package, since a
 * finding may be there in both models, and an image in several registries.
 */
export function findingsQuery(options: {
  /** Only rows that name one of these, such as the login server; all rows of the subscription otherwise. */
  readonly names?: readonly string[];
  readonly assessmentKeys: readonly string[];
  readonly after: string | undefined;
}): string {
  const { names, assessmentKeys, after } = options;
  const named = names
    ? `| where ${names.map((name) => `tostring(properties) contains ${quoted(name)}`).join(' or ')}`
    : '';
  const severityWords = listed(Object.values(severities).flat());
  const counts = Object.entries(severities).flatMap(([column, words]) => {
    const fits =
      column === 'unknown'
        ? `not(severity in~ (${listed(
            Object.values(severities)
              .flat()
              .filter((word) => !(words as readonly string[]).includes(word)),
          )}))`
        : `severity in~ (${listed(words)})`;
    return [
      `${column} = countif(open and ${fits})`,
      `${column}Fixable = countif(open and fixable and ${fits})`,
    ];
  });
  return `securityresources
| where type =~ 'microsoft.security/assessments'
| where properties.metadata.recommendationCategory =~ 'SoftwareUpdate'
| where properties.resourceDetails.ResourceType =~ '.containerimage' and properties.resourceDetails.Source =~ 'Azure'
${named}
| extend image = parse_json(tostring(properties.resourceAdditionalData)), data = properties.additionalData
| extend digest = tolower(coalesce(tostring(image.Digest), tostring(image.digest), extract(@'(sha256:[0-9a-fA-F]{64})', 1, tostring(properties.resourceDetails))))
| extend cves = parse_json(coalesce(tostring(data.CvesDetails), tostring(data.cvesDetails)))
| mv-expand cve = iff(array_length(cves) > 0, cves, dynamic([{}])) limit 2000
| project digest, finding = strcat(coalesce(tostring(cve.CveId), tostring(cve.cveId)), ' ', tostring(data.SoftwareName)), severity = coalesce(tostring(cve.Severity), tostring(cve.severity), tostring(properties.metadata.severity)), fixable = coalesce(tostring(cve.FixStatus), tostring(data.FixStatus)) =~ 'FixAvailable' or isnotempty(tostring(cve.FixedVersion)) or isnotempty(tostring(data.FixedVersion)), open = properties.status.code =~ 'Unhealthy', at = todatetime(properties.timeGenerated)
| union (securityresources
| where type =~ 'microsoft.security/assessments/subassessments'
| where extract(@'(?i)/assessments/([^/]+)', 1, id) in~ (${listed(assessmentKeys)})
${named}
| extend data = properties.additionalData
| project digest = tolower(tostring(data.artifactDetails.digest)), finding = strcat(coalesce(tostring(data.vulnerabilityDetails.cveId), tostring(properties.id)), ' ', tostring(data.softwareDetails.packageName)), severity = coalesce(tostring(data.vulnerabilityDetails.severity), tostring(properties.status.severity)), fixable = tostring(data.softwareDetails.fixStatus) =~ 'FixAvailable' or isnotempty(tostring(data.softwareDetails.fixedVersion)), open = properties.status.code =~ 'Unhealthy', at = todatetime(properties.timeGenerated))
| where isnotempty(digest)
| summarize severity = any(severity), fixable = countif(fixable) > 0, open = countif(open) > 0, at = max(at) by digest, finding
| summarize ${counts.join(', ')}, at = max(at), odd = make_set(iff(severity in~ (${severityWords}), '', severity), 3) by id = digest
${after === undefined ? '' : `| where id > ${quoted(after)}\n`}| order by id asc`;
}

const row = z.object({
  id: z.string().refine(isDigest, 'no digest'),
  critical: count,
  criticalFixable: count,
  high: count,
  highFixable: count,
  medium: count,
  mediumFixable: count,
  low: count,
  lowFixable: count,
  negligible: count,
  negligibleFixable: count,
  unknown: count,
  unknownFixable: count,
  // Assessments have no time of their own; sub-assessments have one.
  // https://learn.microsoft.com/en-us/rest/api/defenderforcloud/assessments/get
  at: optional('at', pastTime),
  odd: optional('odd', list('odd', z.string().max(100))),
});

function toScan(told: z.infer<typeof row>): Scan {
  return {
    findings: {
      counts: {
        CRITICAL: told.critical,
        HIGH: told.high,
        MEDIUM: told.medium,
        LOW: told.low,
        // Defender has no such severity of its own: none says nothing.
        ...(told.negligible > 0 && { NEGLIGIBLE: told.negligible }),
        UNKNOWN: told.unknown,
      },
      fixable: {
        CRITICAL: told.criticalFixable,
        HIGH: told.highFixable,
        MEDIUM: told.mediumFixable,
        LOW: told.lowFixable,
        ...(told.negligible > 0 && { NEGLIGIBLE: told.negligibleFixable }),
        UNKNOWN: told.unknownFixable,
      },
    },
    scannedAt: told.at === undefined ? undefined : Math.floor(told.at),
  };
}

const planQuery = `securityresources
| where type =~ 'microsoft.security/pricings' and name =~ 'Containers'
| project id, tier = tostring(properties.pricingTier)
| order by id asc`;
const plan = z.object({ tier: text });

const noRow = 'Azure Resource Graph answered no row of findings that can be understood';

function tellOddSeverities(words: readonly string[], tell: CollectContext['tell']): void {
  for (const severity of words)
    if (severity !== '')
      tell(
        `severity ${severity}`,
        { severity },
        'Defender has a severity that is not known here: counted as UNKNOWN',
      );
}

/**
 * Findings of all images of a registry.
 * @throws CollectError when there are none and nothing says that there could be: that is no clean registry
 */
export async function readFindings(options: {
  readonly graph: ResourceGraph;
  readonly loginServer: string;
  readonly subscription: string;
  /** Name of the registry's resource. */
  readonly name: string;
  readonly assessmentKeys: readonly string[];
  readonly tell: CollectContext['tell'];
}): Promise<FindingsByDigest> {
  const { graph, loginServer, subscription, name, assessmentKeys, tell } = options;
  const scans = new Map<string, Scan>();
  let incomplete = false;

  const onOddity = ({ at, problem }: Oddity) =>
    tell(
      `findings ${at}`,
      { field: at, problem },
      'a part of the findings of Azure Resource Graph cannot be understood: it is unknown',
    );

  async function take(rows: readonly unknown[]): Promise<void> {
    const { items, left } = await readElements('findings', row, rows, onOddity).catch((cause: unknown) => {
      throw new CollectError('invalid_response', noRow, { cause });
    });
    if (left > 0) incomplete = true;
    for (const finding of items) {
      scans.set(finding.id, toScan(finding));
      tellOddSeverities(finding.odd ?? [], tell);
    }
  }

  async function read(names: readonly string[] | undefined): Promise<void> {
    const query = (after: string | undefined): string =>
      findingsQuery({ ...(names && { names }), assessmentKeys, after });
    for await (const page of graph.rows(query, [subscription])) await take(page);
  }

  await read([loginServer, `/registries/${name}`]);
  // What names the registry in a row is not documented: all images of the subscription are told apart by digest.
  if (scans.size === 0 && !incomplete) await read(undefined);
  if (scans.size > 0) return { scans, incomplete };
  if (incomplete) throw new CollectError('invalid_response', noRow);
  let tier: string | undefined;
  for await (const page of graph.rows(() => planQuery, [subscription]))
    tier ??= plan.safeParse(page[0]).data?.tier;
  if (tier?.toLowerCase() === 'standard') return { scans, incomplete };
  const scope = `the subscription ${subscription}`;
  throw new CollectError(
    tier === undefined ? 'forbidden' : 'not_found',
    tier === undefined
      ? `Azure Resource Graph shows nothing of Microsoft Defender for ${scope}, which is also what it shows without permission: assign the role "Security Reader" on ${scope}, or set findings.source to none`
      : `Microsoft Defender for Containers is off in ${scope}: turn it on, or set findings.source to none`,
  );
}
