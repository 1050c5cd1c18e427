import { readFileSync } from 'node:fs';

/** Numbers for people. */
export const quantile = (values: readonly number[], q: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
};
export const median = (values: readonly number[]): number => quantile(values, 0.5);
export const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
export const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
/** `1/120` or `1.05`. */
export const ratio = (value: number): string =>
  value < 0.5 ? `1/${Math.floor(1 / value)}` : value.toFixed(2);

const targets: { readonly name: string; readonly met: boolean }[] = [];

/** A target of the project and whether this run met it. */
export function target(name: string, met: boolean): void {
  targets.push({ name, met });
}

/** Prints a table with aligned columns. */
export function table(title: string, rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  console.log(`\n${title}`);
  for (const row of rows)
    console.log(`  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}

/** Prints the targets; with `--assert` a missed one is an error of the run. */
export function conclude(): void {
  console.log('\nTargets');
  for (const { name, met } of targets) console.log(`  ${met ? 'met   ' : 'MISSED'}  ${name}`);
  if (process.argv.includes('--assert') && targets.some(({ met }) => !met)) process.exitCode = 1;
}

/** Seconds of CPU that a process has used. */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
