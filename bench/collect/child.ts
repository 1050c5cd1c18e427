import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Amount, Reading, Subject, Way } from './subject.ts';

/**
 * A process that serves or reads: `child.ts <subject> serve <repositories> <images each>`, or
 * `child.ts <subject> <way> <repositories> <images each> <address> [warm]`. Says the address or what it measured.
 */
const [subjectName = '', role = '', repositories, images, url = '', warm] = process.argv.slice(2);
const { subject } = (await import(`./${subjectName}.ts`)) as { subject: Subject };
const amount: Amount = {
  repositories: Number(repositories),
  imagesPerRepository: Number(images),
  compared: Boolean(warm),
};

if (role === 'serve') process.send?.(await subject.serve(amount));
else {
  const read = subject.ways[role as Way];
  // Modules are loaded and code is compiled before anything is measured.
  if (warm) await read(url, amount);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  const started = performance.now();
  const count = await read(url, amount);
  const wallMs = performance.now() - started;
  const used = process.cpuUsage(cpu);
  const reading: Reading = {
    images: count,
    wallMs,
    cpuMs: (used.user + used.system) / 1000,
    longestGapMs: delay.max / 1e6,
    peakRss: process.resourceUsage().maxRSS * 1024,
  };
  process.send?.(reading);
  process.disconnect?.();
}
