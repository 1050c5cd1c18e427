/**
 * What a registry told. An event is a hint: it counts, and makes the loop look at the repository; nothing else of it
 * becomes a value, so a forged or repeated one can cost a poll at most.
 */
export type PushEvent =
  | { readonly id: string; readonly type: 'pushed' | 'changed'; readonly repository: string }
  | { readonly id: string; readonly type: 'failed'; readonly repository: string; readonly reason: string }
  | { readonly id: string; readonly type: 'other' };
