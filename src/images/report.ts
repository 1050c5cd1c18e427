import { z } from 'zod';
import { parseJson } from '../http/parse.ts';
import type { Findings } from '../model.ts';
import { eachElement, optional, pastTime, wholeList } from '../wire.ts';
import { type Document, jsonOf, type ReportForm } from './manifest.ts';
import { parseSarif } from './sarif.ts';
import { countFindings, type Finding, severityOfScore, severityOfWord } from './severity.ts';

/** What an attached report says of an image. */
export interface Report {
  readonly findings: Findings;
  /** When the scanner ran, Unix seconds. */
  readonly scannedAt?: number;
}

/** Absent where the scanner has none; another type is no report of its own. */
const word = z.string().nullish();

/**
 * Trivy leaves `Results` out where an image has no packages, and `Vulnerabilities` where a target has none: what says
 * that it is Trivy's are its name and version of the form.
 * https://github.com/aquasecurity/trivy/blob/v0.58.0/pkg/types/report.go
 */
const trivy = z
  .object({
    SchemaVersion: z.unknown().optional(),
    ArtifactName: z.unknown().optional(),
    Results: z
      .array(z.unknown())
      .max(10_000)
      .pipe(z.array(z.object({ Vulnerabilities: z.array(z.unknown()).nullish() })))
      .nullish(),
  })
  .refine(
    (report) =>
      [report.Results, report.SchemaVersion, report.ArtifactName].some((part) => part !== undefined),
    'no report of Trivy',
  );
const trivyFinding = z.object({ Severity: word, FixedVersion: optional('FixedVersion', z.string()) });

/** https://github.com/anchore/grype/blob/v0.86.0/grype/presenter/models/document.go */
const grype = z.object({ matches: z.array(z.unknown()).nullable() });
const grypeFinding = z.object({
  vulnerability: z.object({
    severity: word,
    fix: optional('fix', z.object({ state: optional('state', z.string()) })),
  }),
});

const ratedFinding = z.object({
  severity: wholeList(z.object({ score: optional('score', z.union([z.string(), z.number()])) })).nullish(),
});

const fromWord = (said: string | null | undefined) => severityOfWord(said ?? '') ?? 'UNKNOWN';

/** A list of ratings by several methods: a scanner's word before a score. */
function fromRatings(ratings: readonly { readonly score?: string | number | undefined }[]): Finding {
  const scores = ratings.map(({ score }) => String(score ?? ''));
  for (const score of scores) {
    const severity = severityOfWord(score);
    if (severity) return { severity };
  }
  const value = scores.map((score) => (score === '' ? Number.NaN : Number(score))).find(Number.isFinite);
  return { severity: value === undefined ? 'UNKNOWN' : severityOfScore(value) };
}

async function* trivyFindings(result: unknown): AsyncGenerator<Finding> {
  for (const target of trivy.parse(result).Results ?? [])
    for await (const finding of eachElement(trivyFinding, target.Vulnerabilities ?? []))
      yield { severity: fromWord(finding.Severity), fixable: (finding.FixedVersion ?? '') !== '' };
}

/** The findings of a scanner's report, one after the other. */
async function* scannerFindings(result: unknown): AsyncGenerator<Finding> {
  // https://github.com/in-toto/attestation/blob/main/spec/predicates/vuln.md
  if (Array.isArray(result))
    for await (const { severity } of eachElement(ratedFinding, result)) yield fromRatings(severity ?? []);
  else if (typeof result === 'object' && result !== null && 'matches' in result)
    for await (const { vulnerability } of eachElement(grypeFinding, grype.parse(result).matches ?? []))
      yield { severity: fromWord(vulnerability.severity), fixable: vulnerability.fix?.state === 'fixed' };
  else yield* trivyFindings(result);
}

const envelope = z.object({ payload: z.string() });
const bundle = z.object({ dsseEnvelope: envelope });
const statement = z.object({
  predicate: z.object({
    scanner: z.object({ result: z.unknown() }),
    metadata: optional('metadata', z.object({ scanFinishedOn: optional('scanFinishedOn', pastTime) })),
  }),
});

/** A statement comes bare, in a DSSE envelope (cosign's `.att`), or in that within a sigstore bundle. */
async function unwrap(json: unknown): Promise<unknown> {
  const wrapped = bundle.safeParse(json).data?.dsseEnvelope ?? envelope.safeParse(json).data;
  return wrapped ? parseJson(Buffer.from(wrapped.payload, 'base64'), 'the payload of an attestation') : json;
}

/** https://github.com/sigstore/cosign/blob/main/specs/COSIGN_VULN_ATTESTATION_SPEC.md */
async function parseStatement(json: unknown): Promise<Report> {
  const { predicate } = statement.parse(await unwrap(json));
  const scannedAt = predicate.metadata?.scanFinishedOn;
  const { result } = predicate.scanner;
  return {
    // in-toto's own list of ratings, unlike the scanners' reports, does not tell what is fixed.
    findings: await countFindings(scannerFindings(result), !Array.isArray(result)),
    scannedAt,
  };
}

/**
 * Counts the findings of a report that is attached to an image. Signatures of attestations are not verified.
 * @returns undefined for a report about other things than vulnerabilities
 * @throws ZodError or SyntaxError when it is not in the form that its media type promises.
 */
export async function parseReport(form: ReportForm, document: Document): Promise<Report | undefined> {
  const json = jsonOf(document);
  if (form === 'statement') return parseStatement(json);
  const report = await parseSarif(json);
  return (
    report && {
      findings: await countFindings(report.findings, false),
      scannedAt: report.scannedAt,
    }
  );
}
