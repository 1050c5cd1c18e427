/** Why a push failed; each vendor's words lead to one of them by a table in its reader. */
export const pushFailureReasons = [
  'denied',
  'quota',
  'immutable_tag',
  'not_found',
  'invalid',
  'throttled',
  'server_error',
  'lint',
  'other',
] as const;
export type PushFailureReason = (typeof pushFailureReasons)[number];

/** Of pushes those that can be told. */
export interface TellsOf {
  /** Whether pushes that succeed are told of too. */
  readonly pushes?: boolean;
  /** Reasons that failed pushes can have. */
  readonly failures?: readonly PushFailureReason[];
}

/** What a source of push events can tell: its counters begin at 0 once it works, so that `increase()` sees the first. */
export interface Tells {
  /** Of single repositories. */
  readonly repositories?: TellsOf;
  /** Of the registry as a whole, without a repository. */
  readonly registry?: TellsOf;
}

/** The reasons that a table of a vendor's words leads to. */
export const reasonsIn = (reasons: Iterable<PushFailureReason>): PushFailureReason[] => [
  ...new Set<PushFailureReason>([...reasons, 'other']),
];
