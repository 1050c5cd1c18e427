/** Events nest six deep. */
const deepest = 32;

/** Why a body is not read. */
export class UnreadableBody extends Error {
  override readonly name = 'UnreadableBody';
}

/** Whether JSON nests deeper than events do; told without parsing it, which takes long for what is very deep. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === 0x5c) at += 1;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x5b || code === 0x7b) {
      depth += 1;
      if (depth > deepest) return true;
    } else if (code === 0x5d || code === 0x7d) depth -= 1;
  }
  return false;
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
