/** From which value on a number warns, and from which it is bad; `below` when small numbers are the bad ones. */
export interface Threshold {
  readonly warn: number;
  readonly bad: number;
  readonly below?: true;
}

const hour = 3600;
const day = 24 * hour;

/** Every threshold of the boards, by what it measures. Units are those of the metrics: seconds, bytes, shares of 1. */
export const thresholds = {
  /** Anything at all is bad: registries that are down, failing capabilities. */
  none: { warn: 1, bad: 1 },
  /** Anything at all needs a look, and nobody has to get up: dropped series, images to clean up. */
  some: { warn: 1, bad: Number.POSITIVE_INFINITY },
  /** Since the last successful poll. */
  dataAge: { warn: 900, bad: hour },
  /** Since an image was scanned. */
  scanAge: { warn: 7 * day, bad: 30 * day },
  /** Since something that runs on a schedule last worked: replication, garbage collection. */
  taskAge: { warn: 2 * day, bad: 7 * day },
  /** Share of a quota. */
  quota: { warn: 0.8, bad: 0.95 },
  /** Until a quota is full. */
  quotaFull: { warn: 14 * day, bad: 2 * day, below: true },
  /** Share of the pull limit that is left. */
  pullsLeft: { warn: 0.2, bad: 0.05, below: true },
  /** Until a credential expires. */
  credential: { warn: 30 * day, bad: 7 * day, below: true },
  /** Share of images that are signed. */
  signed: { warn: 0.95, bad: 0.5, below: true },
  /** How long the oldest job of a queue has waited. */
  queueWait: { warn: hour, bad: 6 * hour },
  /** How late the event loop of the exporter is, 99th percentile. */
  eventLoop: { warn: 0.1, bad: 0.5 },
  /** How long Prometheus needs for a scrape. */
  scrape: { warn: 5, bad: 10 },
  /** Size of one repository: that of the alert RegistryStorageHigh. */
  repositorySize: { warn: 50 * 2 ** 30, bad: 100 * 2 ** 30 },
} as const satisfies Record<string, Threshold>;

export type ThresholdName = keyof typeof thresholds;
