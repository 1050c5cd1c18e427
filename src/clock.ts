/** What both clocks did between two looks at them. */
export interface ClockLook {
  /** Time that really passed, as far as can be known; never negative. */
  readonly passedMs: number;
  /** How far the wall clock was set, forwards or backwards; 0 where it only went on. */
  readonly setMs: number;
}

/** Slewing by NTP and rounding stay below this; what differs more is a clock that was set, or a machine that slept. */
const toleranceMs = 1000;

/**
 * Watches the wall clock against the monotonic one. The wall clock can be set, the monotonic one cannot, but it stands
 * still while the machine sleeps: a wall clock that is ahead is therefore believed, one that went back is not.
 * @returns what happened since the last look
 */
export function watchClock(): () => ClockLook {
  let wall = Date.now();
  let monotonic = performance.now();
  return () => {
    const wallMs = Date.now() - wall;
    const monotonicMs = Math.max(0, performance.now() - monotonic);
    wall += wallMs;
    monotonic += monotonicMs;
    const differenceMs = wallMs - monotonicMs;
    const setMs = Math.abs(differenceMs) > toleranceMs ? differenceMs : 0;
    return { passedMs: setMs > 0 ? wallMs : monotonicMs, setMs };
  };
}
