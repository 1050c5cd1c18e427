/** How much there is to read. */
export interface Amount {
  readonly repositories: number;
  readonly imagesPerRepository: number;
  /** Whether ways are compared: all of them make the same number of requests at once. */
  readonly compared?: boolean;
}

/** One vendor's listing of images, and the ways to read it that are compared. */
export interface Subject {
  /** Serves pages that are rendered once, in a process of its own. @returns the address */
  serve(amount: Amount): Promise<string>;
  /**
   * `exporter`: the provider and the fold, as the daemon runs them. `bare`: the same pages by undici and JSON.parse, all
   * that any program has to do. `sdk`: the vendor's SDK as its documentation shows it. @returns how many images were read
   */
  readonly ways: Readonly<Record<Way, (url: string, amount: Amount) => Promise<number>>>;
  /** What the exporter has to reach, as ratios of throughput and CPU: at least so much of bare, so many times the SDK. */
  readonly targets: { readonly ofBare: number; readonly timesSdk?: number; readonly gapMs?: number };
}

export const ways = ['exporter', 'bare', 'sdk'] as const;
export type Way = (typeof ways)[number];

/** Repositories at once, for all who are compared. */
export const concurrency = 8;

/** What a process that read everything says of itself. */
export interface Reading {
  readonly images: number;
  readonly wallMs: number;
  /** User and system. */
  readonly cpuMs: number;
  /** The longest time the event loop did not turn. */
  readonly longestGapMs: number;
  /** The most there ever was, in bytes. */
  readonly peakRss: number;
}
