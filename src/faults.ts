import { reasonOf } from './errors.ts';
import type { Logger } from './provider.ts';

/** So many different faults are told; the same one again is told at the debug level. */
const toldAtMost = 100;

/**
 * What nobody caught. A promise that failed with nobody waiting for it, or a connection that broke with nobody listening,
 * is told, and everything goes on: what is shown comes from whole polls only, and a registry must not end the others.
 * Any other exception may have left something half done: it is told, and the process ends in order, to be started again.
 */
export function watchFaults(log: Logger, end: () => void): void {
  const told = new Set<string>();
  const tell = (error: unknown, message: string): void => {
    const key = `${message} ${error instanceof Error ? error.message : String(error)}`;
    const isNew = !told.has(key) && told.size < toldAtMost;
    if (isNew) told.add(key);
    log[isNew ? 'error' : 'debug']({ err: error }, message);
  };
  process.on('unhandledRejection', (reason) => {
    tell(reason, 'something failed that nobody waited for: this is a fault of the exporter, which goes on');
  });
  process.on('uncaughtException', (error) => {
    if (reasonOf(error) !== 'internal') {
      tell(
        error,
        'a connection broke that nobody listened to: this is a fault of the exporter, which goes on',
      );
      return;
    }
    tell(error, 'an exception that nobody caught: this is a fault of the exporter, which ends');
    end();
  });
}
