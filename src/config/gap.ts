import cron from 'node-cron';

const hourMs = 3_600_000;
const gaps = new Map<string, number>();

/**
 * The longest gap between two runs of a cron expression, in milliseconds: over two hours where only minutes are
 * chosen, else over a bit more than a week, so that nights and weekends count.
 */
export function longestGap(expression: string): number {
  const cached = gaps.get(expression);
  if (cached !== undefined) return cached;
  const everyHour = expression
    .trim()
    .split(/\s+/)
    .slice(-4)
    .every((field) => field === '*');
  const horizon = Date.now() + (everyHour ? 2 * hourMs : 8 * 24 * hourMs);
  // In a zone without daylight saving time: the hour that comes twice would count as one long gap.
  const task = cron.createTask(expression, () => {}, everyHour ? { timezone: 'UTC' } : {});
  try {
    // Asked for more and more, since node-cron takes about 40 µs for each; 5000 are enough for all but seconds.
    for (let count = 16; ; count *= 4) {
      const runs = task.getNextRuns(Math.min(count, 5000)).map((run) => run.getTime());
      if (count < 5000 && (runs.at(-1) ?? horizon) < horizon) continue;
      const gap = Math.max(...runs.slice(1).map((run, index) => run - (runs[index] ?? run)), 1000);
      gaps.set(expression, gap);
      return gap;
    }
  } finally {
    void task.destroy();
  }
}
