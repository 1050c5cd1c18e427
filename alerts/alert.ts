/** How soon somebody has to act: `critical` pages a person now, `warning` waits for the working day. */
export type Severity = 'critical' | 'warning' | 'info';

/**
 * One alert, defined once. Rule files, documentation and the heads of the runbooks are generated from it
 * (`npm run generate`).
 */
export interface Alert {
  readonly name: string;
  readonly severity: Severity;
  /** How long the expression has to hold, as Prometheus writes durations; absent: it fires at once. */
  readonly for?: string;
  /** PromQL. */
  readonly expr: string;
  /** Why the expression is what it is; a comment above the rule. */
  readonly why?: string;
  /** What is wrong, in a few words: the title of the notification. */
  readonly summary: string;
  /** What, where and how much: a template of Prometheus. */
  readonly description: string;
  /** When it fires, in words: the alert's row in `docs/alerts.md`, and the meaning in its runbook. */
  readonly meaning: string;
}

/** Alerts of one rule file, evaluated together. */
export interface AlertGroup {
  /** Name of the group in Prometheus. */
  readonly name: string;
  /** Comment at the head of the file. */
  readonly about: string;
  readonly alerts: readonly Alert[];
}
