/** Events nest six deep. */
const deepest = 32;

/** Why a body is not read. */
export class UnreadableBody extends Error {
  override readonly name = 'UnreadableBody';
}

/** Whether JSON nests deeper than events do; told without parsing it, which takes long for what is very deep. */
/** Where a text ends whose opening quote is at `start`. */
function endOfText(json: string, start: number): number {
  for (let index = start + 1; index < json.length; index += 1) {
    if (json[index] === '"') return index;
    if (json[index] === '\\') index += 1;
  }
  return json.length;
}

function isTooDeep(json: string): boolean {
  let depth = 0;
  for (let index = 0; index < json.length && depth <= deepest; index += 1) {
    const character = json[index];
    if (character === '"') index = endOfText(json, index);
    else if (character === '[' || character === '{') depth += 1;
    else if (character === ']' || character === '}') depth -= 1;
  }
  return depth > deepest;
}

/**
 * The JSON of a request's body.
 * @throws UnreadableBody whose message repeats nothing of it
 */
export function parseEventBody(raw: Buffer): unknown {
  const text = raw.toString('utf8').replace(/^\uFEFF/, '');
  if (isTooDeep(text)) throw new UnreadableBody(`the JSON nests deeper than ${deepest}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new UnreadableBody('the body is no JSON');
  }
}
