import { Tokenizer, TokenParser, TokenType } from '@streamparser/json';
import { CollectError } from '../errors.ts';
import { createYielder } from '../yielding.ts';

/**
 * The JSON of a body. A byte order mark before it is passed over, as RFC 8259 allows: some proxies and file servers write
 * one.
 * @throws SyntaxError for what is no JSON
 */
export const jsonIn = (body: Buffer): unknown =>
  JSON.parse(body.toString('utf8', startsWithMark(body) ? 3 : 0));

const startsWithMark = (body: Buffer): boolean => body.length > 2 && body.readUIntBE(0, 3) === 0xefbbbf;

/**
 * Larger bodies are parsed in pieces, so that they do not hold the event loop. That takes ten times the CPU of
 * `JSON.parse`, which reads any megabyte within some 20 ms; ECR's pages of a thousand images are 0.7 MB.
 */
export const parsedAtOnce = 2 ** 20;
const pieceBytes = 32 * 2 ** 10;
/** Registries' answers are less than 20 deep. */
const deepest = 100;
/** A page of 32 MiB with fields of 30 bytes each. */
const mostValues = 1_000_000;

/**
 * The JSON of a body of any size, without holding the event loop.
 * @throws CollectError and SyntaxError as {@link parseInPieces} does
 */
export const parseJson = async (body: Buffer, where: string): Promise<unknown> =>
  body.length > parsedAtOnce ? parseInPieces(body, where) : jsonIn(body);

/**
 * Parses a large JSON body in pieces between which the event loop goes on.
 * @throws CollectError `too_large` for more values or a deeper nesting than any registry's answer has
 * @throws SyntaxError for what is no JSON
 */
export async function parseInPieces(body: Buffer, where: string): Promise<unknown> {
  const pause = createYielder();
  const tokenizer = new Tokenizer();
  const parser = new TokenParser({ paths: ['$'] });
  let value: unknown;
  let depth = 0;
  let values = 0;
  const refuse = (what: string) => {
    throw new CollectError('too_large', `${where} answered with JSON ${what}: no registry's answer is so`);
  };
  parser.onValue = (parsed) => {
    value = parsed.value;
  };
  tokenizer.onToken = (token) => {
    if (token.token === TokenType.LEFT_BRACE || token.token === TokenType.LEFT_BRACKET) {
      depth += 1;
      if (depth > deepest) refuse(`that is more than ${deepest} levels deep`);
    } else if (token.token === TokenType.RIGHT_BRACE || token.token === TokenType.RIGHT_BRACKET) depth -= 1;
    else if (token.token === TokenType.COMMA) {
      values += 1;
      if (values > mostValues) refuse(`of more than ${mostValues} values`);
    }
    parser.write(token);
  };
  const fail = (error: Error) => {
    throw error instanceof CollectError ? error : new SyntaxError(error.message.slice(0, 200));
  };
  tokenizer.onError = fail;
  parser.onError = fail;
  for (let start = 0; start < body.length; start += pieceBytes) {
    tokenizer.write(body.subarray(start, start + pieceBytes));
    await pause();
  }
  if (!parser.isEnded) throw new SyntaxError('the JSON ends too early');
  return value;
}
