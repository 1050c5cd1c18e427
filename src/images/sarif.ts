import { z } from 'zod';
import type { Severity } from '../model.ts';
import { eachElement, list, longText, optional, pastTime, wholeList } from '../wire.ts';
import { type Finding, severityOfScore, severityOfWord } from './severity.ts';

/** The part of a text that may name a severity; scanners write long descriptions. */
const said = longText(2_000);
const message = z.object({ text: optional('text', said) });

const rule = z.object({
  id: optional('id', z.string()),
  name: optional('name', z.string()),
  shortDescription: optional('shortDescription', message),
  help: optional('help', message),
  defaultConfiguration: optional('defaultConfiguration', z.object({ level: optional('level', z.string()) })),
  // What rates a finding: an odd one would be counted as something else.
  properties: z
    .object({
      'security-severity': z.union([z.string(), z.number()]).nullish(),
      tags: wholeList(z.string()).nullish(),
    })
    .nullish(),
});
type Rule = z.infer<typeof rule>;

const result = z
  .object({
    ruleId: optional('ruleId', z.string()),
    ruleIndex: optional('ruleIndex', z.number()),
    rule: optional(
      'rule',
      z.object({ id: optional('id', z.string()), index: optional('index', z.number()) }),
    ),
    level: z.string().nullish(),
    kind: optional('kind', z.string()),
    message: optional('message', message),
    suppressions: optional('suppressions', z.array(z.unknown())),
  })
  // The message is required by the specification; what has neither that nor a rule is no finding.
  .refine(
    ({ ruleId, ruleIndex, rule, message }) =>
      [ruleId, ruleIndex, rule, message].some((part) => part !== undefined),
    'no result',
  );
type Result = z.infer<typeof result>;

/** Rules and results are many: each is read by itself. */
const some = z.array(z.unknown()).nullish();

const run = z.object({
  tool: z.object({
    driver: z.object({ name: optional('name', z.string()), rules: some }),
    extensions: optional('extensions', list('extensions', z.object({ rules: some }))),
  }),
  results: some,
  invocations: optional(
    'invocations',
    list('invocations', z.object({ endTimeUtc: optional('endTimeUtc', pastTime) })),
  ),
});
const document = z.object({ runs: z.array(z.unknown()).max(100).pipe(z.array(run)) });

/**
 * What Trivy calls other findings, by the tag and the name of their rule.
 * https://github.com/aquasecurity/trivy/blob/v0.58.0/pkg/report/sarif.go
 */
const otherTags = new Set(['misconfiguration', 'secret', 'license']);

/** Tools whose reports are about other things than vulnerabilities: linters, and searchers for secrets. */
const otherTools =
  /^(dockle|hadolint|gitleaks|trufflehog|detect-secrets|checkov|kics|terrascan|tfsec|semgrep|codeql|jfrog (secrets|infrastructure|static))/i;

const isVulnerability = (broken: Rule | undefined): boolean =>
  !otherTags.has((broken?.name ?? '').toLowerCase()) &&
  !(broken?.properties?.tags ?? []).some((tag) => otherTags.has(tag.toLowerCase()));

/**
 * Where scanners write their own severity, other than in a rule's tags:
 * - Trivy in each result's message, `Severity: HIGH`; its rule has that of the last package with the same CVE.
 * - Grype in the rule's help, `Severity: High`; its score is another source's.
 *   https://github.com/anchore/grype/blob/v0.86.0/grype/presenter/sarif/presenter.go
 * - Snyk in the short description, `High severity - …`.
 * - Clair's template in the message, `[package - version - High]`.
 *   https://github.com/quay/clair-action/blob/v0.0.8/templates/sarif.tpl
 */
const wordLine = /^severity:[ \t]*(\w+)[ \t]*$/im;
const wordFirst = /^(\w+) severity\b/i;
const wordInBrackets = /^\[.* - (\w+)\]/;

function scannersWord(finding: Result, broken: Rule | undefined): Severity | undefined {
  const text = finding.message?.text ?? '';
  const candidates = [
    wordLine.exec(text)?.[1],
    wordInBrackets.exec(text)?.[1],
    ...(broken?.properties?.tags ?? []),
    wordLine.exec(broken?.help?.text ?? '')?.[1],
    wordFirst.exec(broken?.shortDescription?.text ?? '')?.[1],
  ];
  for (const candidate of candidates) {
    const severity = severityOfWord(candidate ?? '');
    if (severity) return severity;
  }
  return undefined;
}

/** What SARIF's own levels stand for when neither a word nor a score rates the finding. */
const levels: Readonly<Record<string, Severity>> = { error: 'HIGH', warning: 'MEDIUM', note: 'LOW' };

/** The scanner's own word first: it knows the distribution's rating, while a score is somebody's of the CVE alone. */
function severityOf(finding: Result, broken: Rule | undefined): Severity {
  const own = scannersWord(finding, broken);
  if (own) return own;
  const score = broken?.properties?.['security-severity'] ?? '';
  const value = score === '' ? Number.NaN : Number(score);
  if (Number.isFinite(value)) return severityOfScore(value);
  return levels[finding.level ?? broken?.defaultConfiguration?.level ?? 'warning'] ?? 'UNKNOWN';
}

/** What a report in SARIF tells of an image. */
export interface SarifReport {
  readonly findings: readonly Finding[];
  readonly scannedAt?: number;
}

type Run = z.infer<typeof run>;

/** The rules of a run: those of its driver by their place, all by their name. */
async function rulesOf({ tool }: Run) {
  const byPlace: Rule[] = [];
  const byId = new Map<string | undefined, Rule>();
  for await (const parsed of eachElement(rule, tool.driver.rules ?? [])) {
    byPlace.push(parsed);
    byId.set(parsed.id, parsed);
  }
  for (const { rules } of tool.extensions ?? [])
    for await (const parsed of eachElement(rule, rules ?? [])) byId.set(parsed.id, parsed);
  return { byPlace, byId };
}

/** The vulnerabilities that a run found. */
async function* findingsOf(from: Run): AsyncGenerator<Finding> {
  const { byPlace, byId } = await rulesOf(from);
  for await (const finding of eachElement(result, from.results ?? [])) {
    if ((finding.kind ?? 'fail') !== 'fail' || (finding.suppressions ?? []).length > 0) continue;
    const id = finding.ruleId ?? finding.rule?.id;
    const place = finding.ruleIndex ?? finding.rule?.index ?? -1;
    const broken = (id === undefined ? undefined : byId.get(id)) ?? byPlace[place];
    if (isVulnerability(broken)) yield { severity: severityOf(finding, broken) };
  }
}

/**
 * Reads https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; the score is GitHub's `security-severity`.
 * Secrets, misconfigurations and licences are left out.
 * @returns undefined where no run of it is about vulnerabilities
 * @throws ZodError when it is no SARIF
 */
export async function parseSarif(json: unknown): Promise<SarifReport | undefined> {
  const { runs } = document.parse(json);
  const about = runs.filter(({ tool }) => !otherTools.test(tool.driver.name ?? ''));
  if (runs.length > 0 && about.length === 0) return undefined;
  const findings: Finding[] = [];
  for (const result of about) for await (const finding of findingsOf(result)) findings.push(finding);
  const times = about.flatMap(({ invocations = [] }) => invocations.map(({ endTimeUtc }) => endTimeUtc));
  return { findings, scannedAt: times.findLast((time) => time !== undefined) };
}
