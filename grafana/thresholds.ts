import { alertGroups } from '../alerts/index.ts';

/** From which value on a number warns, and from which it is bad; `below` when small numbers are the bad ones. */
export interface Threshold {
  readonly warn: number;
  readonly bad: number;
  readonly below?: true;
}

const day = 24 * 3600;
const GiB = 2 ** 30;

/** The threshold of an alert: a board colours a number as soon as the alert's expression holds. */
function alertAt(name: string): number {
  const alert = [...alertGroups.values()].flatMap(({ alerts }) => alerts).find((one) => one.name === name);
  if (!alert?.threshold) throw new Error(`no alert ${name} with a threshold in alerts/*.ts`);
  return alert.threshold.value;
}

/** Every threshold of the boards, by what it measures. Units are those of the metrics: seconds, bytes, shares of 1. */
export const thresholds = {
  /** Anything at all is bad: registries that are down, failing capabilities. */
  none: { warn: 1, bad: 1 },
  /** Anything at all needs a look, and nobody has to get up: dropped series, images to clean up. */
  some: { warn: 1, bad: Number.POSITIVE_INFINITY },
  /** Failed polls in a row: an alert fires at two. */
  failedPolls: { warn: 1, bad: 2 },
  /** Since an image was scanned. */
  scanAge: { warn: 7 * day, bad: alertAt('RegistryScansOld') * day },
  /** Since something that runs on a schedule last worked: replication, garbage collection. */
  taskAge: { warn: 2 * day, bad: 7 * day },
  /** Share of a quota. */
  quota: { warn: alertAt('RegistryQuotaHigh'), bad: alertAt('RegistryQuotaExhausted') },
  /** Until a quota is full. */
  quotaFull: { warn: 14 * day, bad: alertAt('RegistryQuotaFillingUp') * day, below: true },
  /** Share of the pull limit that is left. */
  pullsLeft: { warn: 0.25, bad: alertAt('RegistryPullLimitLow'), below: true },
  /** Until a credential expires. */
  credential: {
    warn: alertAt('RegistryCredentialExpires') * day,
    bad: alertAt('RegistryCredentialExpiresSoon') * day,
    below: true,
  },
  /** How long the oldest job of a queue has waited. */
  queueWait: { warn: alertAt('RegistryQueueStuck') / 4, bad: alertAt('RegistryQueueStuck') },
  /** How late the event loop of the exporter is, 99th percentile. */
  eventLoop: { warn: 0.1, bad: 0.5 },
  /** How long Prometheus needs for a scrape. */
  scrape: { warn: 5, bad: 10 },
  /** Size of one repository. */
  repositorySize: {
    warn: (alertAt('RegistryStorageHigh') / 2) * GiB,
    bad: alertAt('RegistryStorageHigh') * GiB,
  },
} as const satisfies Record<string, Threshold>;

export type ThresholdName = keyof typeof thresholds;
