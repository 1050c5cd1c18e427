import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';

/**
 * Calls `changed` when a file has another content than before, also when a link on the way to it is swapped, as
 * Kubernetes does with the volumes of ConfigMaps and Secrets. The content is compared, at intervals: notifications of
 * the kernel do not follow links, and do not come from network volumes. A change counts when two looks in a row see the
 * same, so that a file is not read while somebody writes it. What is no file, such as a pipe, can be read once only and
 * is left to whoever reads the configuration.
 * @param path the file; while it cannot be read nothing has changed
 * @returns once the file was looked at for the first time; ends the watch
 */
export async function watchContent(path: string, everyMs: number, changed: () => void): Promise<() => void> {
  let settled: string | undefined;
  let last: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;

  async function look(): Promise<void> {
    const content = await readFile(path).catch(() => undefined);
    const seen = content && createHash('sha256').update(content).digest('hex');
    settled ??= seen;
    const isNew = seen !== undefined && seen === last && seen !== settled;
    last = seen;
    if (isOver) return;
    if (isNew) {
      settled = seen;
      changed();
    }
    timer = setTimeout(() => void look(), everyMs).unref();
  }

  const isFile = await stat(path).then(
    (stats) => stats.isFile(),
    () => true,
  );
  if (isFile) await look();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
