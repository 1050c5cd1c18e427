import { Document, isMap, isScalar, Scalar, stringify } from 'yaml';
import { type Alert, type AlertGroup, evaluatedGroups, filled, scopeOf } from './alert.ts';
import { capacity } from './capacity.ts';
import { type RecordedRules, recordedRules } from './compat.ts';
import { images } from './images.ts';
import { inUse } from './in-use.ts';
import { operations } from './operations.ts';
import { registry } from './registry.ts';

/** All alerts, by the name of their rule file. */
export const alertGroups: ReadonlyMap<string, AlertGroup> = new Map([
  ['registry.rules.yaml', registry],
  ['images.rules.yaml', images],
  ['in-use.rules.yaml', inUse],
  ['capacity.rules.yaml', capacity],
  ['operations.rules.yaml', operations],
]);

/** Where the runbook of an alert can be read. */
const runbook = (name: string): string =>
  `https://github.com/container-registry-exporter/container-registry-exporter/blob/main/docs/runbooks/${name}.md`;

/** An alert as Prometheus reads it. */
function rule(alert: Alert): Record<string, unknown> {
  const { name, for: duration, keepFiringFor, severity, summary, description } = alert;
  return {
    alert: name,
    expr: filled(alert),
    ...(duration && { for: duration }),
    ...(keepFiringFor && { keep_firing_for: keepFiringFor }),
    labels: { severity },
    annotations: { summary, description, runbook_url: runbook(name) },
  };
}

const comment = (text: string): string => text.replaceAll(/^/gm, ' ');

/** A rule file as Prometheus reads it, with what explains it as comments. */
function ruleFile(group: AlertGroup): string {
  const groups = evaluatedGroups(group);
  const document = new Document({
    groups: groups.map(({ name, alerts }) => ({ name, rules: alerts.map(rule) })),
  });
  document.commentBefore = comment(`Generated from alerts/*.ts by \`npm run generate\`.\n${group.about}`);
  for (const [at, { alerts }] of groups.entries())
    for (const [index, { why }] of alerts.entries()) {
      const item = document.getIn(['groups', at, 'rules', index]);
      if (!isMap(item)) throw new Error('a rule is no map');
      if (why) item.commentBefore = comment(why);
      const description = item.getIn(['annotations', 'description'], true);
      if (isScalar(description)) description.type = Scalar.BLOCK_FOLDED;
    }
  return document.toString({ lineWidth: 120, blockQuote: true });
}

/** A file of recording rules as Prometheus reads it. */
function recordingFile({ name, about, rules }: RecordedRules): string {
  const groups = Object.entries(rules).map(([ending, { record, labels, expr }]) => ({
    name: `${name}-${ending}`,
    rules: [{ record, ...(labels && { labels }), expr }],
  }));
  const document = new Document({ groups });
  document.commentBefore = comment(`Generated from alerts/compat.ts by \`npm run generate\`.\n${about}`);
  Object.values(rules).forEach(({ why, expr }, index) => {
    const rule = document.getIn(['groups', index, 'rules', 0]);
    if (why && isMap(rule)) rule.commentBefore = comment(why);
    const written = document.getIn(['groups', index, 'rules', 0, 'expr'], true);
    if (isScalar(written) && expr.includes('\n')) written.type = Scalar.BLOCK_LITERAL;
  });
  return document.toString({ lineWidth: 0 });
}

/**
 * The rule files as the chart reads them: thresholds and the exporter's job stand as `$threshold` and `$job`, with the
 * default threshold and the scope beside the rule, so that values can set them.
 */
export function renderChartRules(): Map<string, string> {
  const ruleOf = (alert: Alert) => ({
    ...rule(alert),
    expr: alert.expr,
    threshold: alert.threshold?.value,
    scope: scopeOf(alert),
  });
  const written = (group: AlertGroup) => ({
    groups: evaluatedGroups(group).map(({ name, alerts }) => ({ name, rules: alerts.map(ruleOf) })),
  });
  return new Map(
    [...alertGroups].map(([file, group]) => [
      file,
      stringify(written(group), { lineWidth: 120, blockQuote: true }),
    ]),
  );
}

/** The rule files as they are checked in: paths relative to the repository, with their content. */
export function renderRules(): Map<string, string> {
  return new Map([
    ...[...alertGroups].map(([file, group]) => [`alerts/${file}`, ruleFile(group)] as const),
    ...[...recordedRules].map(([file, rules]) => [`alerts/${file}`, recordingFile(rules)] as const),
  ]);
}
