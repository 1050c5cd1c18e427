import { parser } from '@prometheus-io/lezer-promql';

/** A metric that a query names, and the labels that it selects or groups it by. */
export interface QueriedMetric {
  readonly metric: string;
  readonly labels: readonly string[];
}

/** Whether Prometheus' own grammar accepts the expression. */
export function parses(expression: string): boolean {
  let right = true;
  parser.parse(expression).iterate({
    enter(node) {
      if (node.type.isError) right = false;
    },
  });
  return right;
}

/** The metrics of an expression with the labels of their matchers. */
export function queryMetrics(expression: string): QueriedMetric[] {
  const found: { metric: string; labels: string[] }[] = [];
  parser.parse(expression).iterate({
    enter(node) {
      if (node.name !== 'VectorSelector') return;
      const name = node.node.getChild('Identifier');
      const labels: string[] = [];
      node.node.cursor().iterate((inner) => {
        if (inner.name === 'LabelName') labels.push(expression.slice(inner.from, inner.to));
      });
      if (name) found.push({ metric: expression.slice(name.from, name.to), labels });
    },
  });
  return found;
}
