import { setImmediate as nextTurn } from 'node:timers/promises';

/** What the SDK's clients have in common. */
export interface Client {
  readonly config: object;
  readonly middlewareStack: { add(middleware: never, options: object): void };
  send(command: never): Promise<unknown>;
}
interface SdkArguments {
  readonly input: object;
}
interface SdkResult {
  readonly response: { readonly statusCode: number; body: Buffer };
}
/** Bodies from this size on are parsed one in a turn of the event loop, however many came at once. */
export const largeBytes = 65_536;
let lastTurn: Promise<void> = Promise.resolve();
export function ownTurn(): Promise<void> {
  lastTurn = lastTurn.then(() => nextTurn());
  return lastTurn;
}

/**
 * Frees the memory of a body that nobody needs any more. Left to the garbage collector, which knows little of memory
 * beside its own, a hundred megabytes of old pages pile up.
 */
export function letGo(body: Buffer): void {
  if (body.buffer.byteLength === body.length) (body.buffer as ArrayBuffer).transfer(0);
}

const emptyObject = Buffer.from('{}');

/**
 * Sends commands and gives back the bodies of the answers as they came. The SDK's own reading of an answer costs several
 * times what `JSON.parse` does (see bench/collect), and nothing of it is needed: it is given an empty object instead.
 * Errors it reads itself.
 */
export function rawly(client: Client): (command: { readonly input: object }) => Promise<Buffer> {
  const bodies = new WeakMap<object, Buffer>();
  const takeBody = (next: (args: SdkArguments) => Promise<SdkResult>) => async (args: SdkArguments) => {
    const result = await next(args);
    if (result.response.statusCode >= 300) return result;
    bodies.set(args.input, result.response.body);
    result.response.body = emptyObject;
    return result;
  };
  // Within the SDK's own step of that name: it sees the answer before the SDK reads it.
  client.middlewareStack.add(takeBody as never, { step: 'deserialize', priority: 'low', name: 'takeBody' });
  return async (command) => {
    await client.send(command as never);
    return bodies.get(command.input) ?? emptyObject;
  };
}
