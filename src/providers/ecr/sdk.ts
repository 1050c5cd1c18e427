import { CollectError } from '../../errors.ts';
import { isExpired, isSkewed, type SdkResponse } from './errors.ts';

/** What is added to the clients of AWS' SDK, by the places that the SDK has for it. */

/** What the clients have in common. */
export interface Client {
  readonly config: object;
  readonly middlewareStack: { add(middleware: never, options: object): void };
}

interface Protocol {
  deserializeResponse(operation: unknown, context: unknown, response: SdkResponse): Promise<object>;
}

/**
 * Gives answers as the JSON that they are. Read by the SDK's own model they would lose each field that is newer than
 * the model, such as Inspector's counts of low findings, and one odd time would refuse the whole page. Errors are read
 * by the SDK.
 */
export function keepAnswersWhole({ config }: Client): void {
  const holder = config as { protocol: Protocol };
  const own = holder.protocol;
  holder.protocol = Object.assign(Object.create(own) as Protocol, {
    async deserializeResponse(operation: unknown, context: unknown, response: SdkResponse) {
      if (!('json' in response)) return own.deserializeResponse(operation, context, response);
      const { json } = response;
      const answer = typeof json === 'object' && json !== null ? json : {};
      return Object.assign(answer, { $metadata: { httpStatusCode: response.statusCode } });
    },
  });
}

/** What a client's requests are watched with. */
export interface Watch {
  /** The cycle's. */
  signal(): AbortSignal | undefined;
  /** How many times credentials were made anew. */
  generation(): number;
  /** Makes new credentials, once for all who were refused with the same ones. */
  renew(generation: number): Promise<void>;
  explain(error: unknown, operation: string): CollectError;
}

/** At most so many times a command is sent again after credentials were renewed or the clock was corrected. */
const repeats = 2;

async function renew(watch: Watch, generation: number, operation: string): Promise<void> {
  try {
    await watch.renew(generation);
  } catch (error) {
    throw watch.explain(error, operation);
  }
}

type Send = (args: object) => Promise<object>;

async function sendWatched(send: Send, args: object, operation: string, watch: Watch): Promise<object> {
  for (let repeatsLeft = repeats; ; repeatsLeft -= 1) {
    const generation = watch.generation();
    try {
      return await send(args);
    } catch (error) {
      // What ends with the cycle may know why: that it was throttled all the time, for example.
      if (!(error instanceof CollectError)) watch.signal()?.throwIfAborted();
      const isOver = repeatsLeft === 0 || !(isExpired(error) || isSkewed(error));
      if (isOver) throw watch.explain(error, operation);
      if (isExpired(error)) await renew(watch, generation, operation);
    }
  }
}

/** Renews credentials that expired before their time, and gives each error its reason and the name of the operation. */
export function watchErrors(client: Client, watch: Watch): void {
  const middleware = (next: Send, { commandName = '' }: { readonly commandName?: string }) => {
    const operation = commandName.replace(/Command$/, '');
    return (args: object) => sendWatched(next, args, operation, watch);
  };
  client.middlewareStack.add(middleware as never, { step: 'initialize', name: 'watchErrors' });
}
