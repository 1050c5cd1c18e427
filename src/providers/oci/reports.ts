import { z } from 'zod';
import { type Findings, type Severity, severities } from '../../model.ts';
import { type ReportForm, toSeconds } from './manifest.ts';

/** What an attached report says of an image. */
export interface Report {
  readonly findings: Findings;
  /** When the scanner ran, Unix seconds. */
  readonly scannedAt?: number;
}

interface Finding {
  readonly severity: Severity;
  /** Undefined where the report does not say. */
  readonly fixable?: boolean;
}

const words: Readonly<Record<string, Severity>> = {
  CRITICAL: 'CRITICAL',
  HIGH: 'HIGH',
  IMPORTANT: 'HIGH',
  MEDIUM: 'MEDIUM',
  MODERATE: 'MEDIUM',
  LOW: 'LOW',
  NEGLIGIBLE: 'NEGLIGIBLE',
  INFORMATIONAL: 'NEGLIGIBLE',
  MINIMAL: 'NEGLIGIBLE',
};

/** Scanners' words, case aside; what is not known here is `UNKNOWN`. */
const fromWord = (word: string | null | undefined): Severity => words[word?.toUpperCase() ?? ''] ?? 'UNKNOWN';

/** A CVSS score as NVD rates it (https://nvd.nist.gov/vuln-metrics/cvss); 0 is a finding without a rating. */
function fromScore(score: number): Severity {
  if (score >= 9) return 'CRITICAL';
  if (score >= 7) return 'HIGH';
  if (score >= 4) return 'MEDIUM';
  return score > 0 ? 'LOW' : 'UNKNOWN';
}

/** Every severity is counted by such a report, hence those without a finding are 0. */
function count(findings: readonly Finding[], saysFixable: boolean): Findings {
  const zero = () =>
    Object.fromEntries(severities.map((severity) => [severity, 0])) as Record<Severity, number>;
  const counts = zero();
  const fixable = zero();
  for (const finding of findings) {
    counts[finding.severity] += 1;
    if (finding.fixable) fixable[finding.severity] += 1;
  }
  return saysFixable ? { counts, fixable } : { counts };
}

const rule = z.object({
  id: z.string().nullish(),
  properties: z
    .looseObject({
      'security-severity': z.union([z.string(), z.number()]).nullish(),
      tags: z.array(z.string()).nullish(),
    })
    .nullish(),
});
const component = z.object({ rules: z.array(rule).nullish() });
const sarif = z.object({
  runs: z.array(
    z.object({
      tool: z.object({ driver: component, extensions: z.array(component).nullish() }),
      results: z
        .array(
          z.object({
            ruleId: z.string().nullish(),
            ruleIndex: z.number().nullish(),
            rule: z.object({ id: z.string().nullish(), index: z.number().nullish() }).nullish(),
            level: z.string().nullish(),
            kind: z.string().nullish(),
            suppressions: z.array(z.unknown()).nullish(),
          }),
        )
        .nullish(),
      invocations: z.array(z.object({ endTimeUtc: z.string().nullish() })).nullish(),
    }),
  ),
});

/** What SARIF's own levels stand for when neither a score nor a tag rates the rule. */
const levels: Readonly<Record<string, Severity>> = { error: 'HIGH', warning: 'MEDIUM', note: 'LOW' };

function sarifSeverity(found: z.infer<typeof rule> | undefined, level: string): Severity {
  const score = Number(found?.properties?.['security-severity'] ?? Number.NaN);
  if (score > 0) return fromScore(score);
  for (const tag of found?.properties?.tags ?? []) {
    const severity = fromWord(tag);
    if (severity !== 'UNKNOWN') return severity;
  }
  return levels[level] ?? 'UNKNOWN';
}

/** https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; the score is GitHub's, Trivy's and Grype's. */
function parseSarif(json: unknown): Report {
  const findings: Finding[] = [];
  let scannedAt: number | undefined;
  for (const run of sarif.parse(json).runs) {
    const rules = run.tool.driver.rules ?? [];
    const all = [...rules, ...(run.tool.extensions ?? []).flatMap((extension) => extension.rules ?? [])];
    const byId = new Map(all.map((one) => [one.id, one]));
    for (const result of run.results ?? []) {
      if ((result.kind ?? 'fail') !== 'fail' || (result.suppressions ?? []).length > 0) continue;
      const index = result.ruleIndex ?? result.rule?.index ?? -1;
      const found = byId.get(result.ruleId ?? result.rule?.id) ?? rules[index];
      findings.push({ severity: sarifSeverity(found, result.level ?? 'warning') });
    }
    for (const invocation of run.invocations ?? []) scannedAt = toSeconds(invocation.endTimeUtc) ?? scannedAt;
  }
  return { findings: count(findings, false), ...(scannedAt !== undefined && { scannedAt }) };
}

const trivy = z.object({
  Results: z
    .array(
      z.object({
        Vulnerabilities: z
          .array(
            z.object({
              Severity: z.string().nullish(),
              FixedVersion: z.string().nullish(),
              Status: z.string().nullish(),
            }),
          )
          .nullish(),
      }),
    )
    .nullable(),
});
const grype = z.object({
  matches: z.array(
    z.object({
      vulnerability: z.object({
        severity: z.string().nullish(),
        fix: z.object({ state: z.string().nullish() }).nullish(),
      }),
    }),
  ),
});
const rated = z.array(
  z.object({ severity: z.array(z.object({ score: z.union([z.string(), z.number()]) })).nullish() }),
);

function scannerFindings(result: unknown): Finding[] {
  // https://github.com/in-toto/attestation/blob/main/spec/predicates/vuln.md
  if (Array.isArray(result))
    return rated.parse(result).map(({ severity }) => {
      const score = severity?.[0]?.score;
      const value = Number(score ?? Number.NaN);
      return { severity: Number.isNaN(value) ? fromWord(String(score ?? '')) : fromScore(value) };
    });
  if (typeof result === 'object' && result !== null && 'matches' in result)
    return grype.parse(result).matches.map(({ vulnerability }) => ({
      severity: fromWord(vulnerability.severity),
      fixable: vulnerability.fix?.state === 'fixed',
    }));
  return (trivy.parse(result).Results ?? []).flatMap((target) =>
    (target.Vulnerabilities ?? []).map((vulnerability) => ({
      severity: fromWord(vulnerability.Severity),
      fixable: (vulnerability.FixedVersion ?? '') !== '',
    })),
  );
}

const envelope = z.object({ payload: z.base64() });
const bundle = z.object({ dsseEnvelope: envelope });
const statement = z.object({
  predicate: z.object({
    scanner: z.object({ result: z.unknown() }),
    metadata: z.object({ scanFinishedOn: z.string().nullish() }).nullish(),
  }),
});

/** A statement comes bare, in a DSSE envelope (cosign's `.att`), or in that within a sigstore bundle. */
function unwrap(json: unknown): unknown {
  const wrapped = bundle.safeParse(json).data?.dsseEnvelope ?? envelope.safeParse(json).data;
  return wrapped ? JSON.parse(Buffer.from(wrapped.payload, 'base64').toString('utf8')) : json;
}

/** https://github.com/sigstore/cosign/blob/main/specs/COSIGN_VULN_ATTESTATION_SPEC.md */
function parseStatement(json: unknown): Report {
  const { predicate } = statement.parse(unwrap(json));
  const scannedAt = toSeconds(predicate.metadata?.scanFinishedOn);
  return {
    // in-toto's own list of ratings, unlike the scanners' reports, does not tell what is fixed.
    findings: count(scannerFindings(predicate.scanner.result), !Array.isArray(predicate.scanner.result)),
    ...(scannedAt !== undefined && { scannedAt }),
  };
}

/**
 * Counts the findings of a report that is attached to an image. Signatures of attestations are not verified.
 * @throws ZodError or SyntaxError when it is not in the form that its media type promises.
 */
export function parseReport(form: ReportForm, body: Buffer): Report {
  const json: unknown = JSON.parse(body.toString('utf8'));
  return form === 'sarif' ? parseSarif(json) : parseStatement(json);
}
