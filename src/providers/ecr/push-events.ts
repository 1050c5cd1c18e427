import type { EventSource } from '../../provider.ts';
import { cloudTrailSource } from './cloudtrail.ts';
import type { EcrOptions } from './options.ts';
import { queueSource } from './queue.ts';

/** Where push events of a registry are read, as its options say. */
export function eventSourcesOf(config: EcrOptions): readonly EventSource[] {
  const { queue, cloudTrail } = config.pushEvents ?? {};
  return [
    ...(queue === undefined ? [] : [queueSource(config, queue)]),
    ...(cloudTrail ? [cloudTrailSource(config)] : []),
  ];
}
