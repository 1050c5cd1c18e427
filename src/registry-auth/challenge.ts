/** One challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1). Scheme and parameter names are lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * Sticky expressions over a header. A parameter's value may hold more than a token does: some servers write the address
 * of their token server without quotes. A name before `=` is no scheme.
 */
const separator = /[\s,]*/y;
const parameter = /([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|(?!")([^\s",]*))/y;
const schemeName = /[\w!#$%&'*+.^`|~-]+(?![\w!#$%&'*+.^`|~-]|[ \t]*=)/y;

/** What cannot be read ends the line; what was read before stays. */
function parseLine(line: string): Challenge[] {
  const challenges: { readonly scheme: string; readonly parameters: Map<string, string> }[] = [];
  let at = 0;
  const take = (expression: RegExp): RegExpExecArray | null => {
    expression.lastIndex = at;
    const match = expression.exec(line);
    if (match) at = expression.lastIndex;
    return match;
  };
  for (take(separator); at < line.length; take(separator)) {
    const current = challenges.at(-1);
    const [, name, quoted, unquoted = ''] = (current && take(parameter)) ?? [];
    if (current && name !== undefined) {
      const value = quoted?.replace(/\\(.)/g, '$1') ?? unquoted;
      if (!current.parameters.has(name.toLowerCase())) current.parameters.set(name.toLowerCase(), value);
      continue;
    }
    const scheme = take(schemeName)?.[0];
    if (scheme === undefined) break;
    challenges.push({ scheme: scheme.toLowerCase(), parameters: new Map() });
  }
  return challenges;
}

/**
 * All challenges of all header lines. A line may hold several, whose parameters are separated by the same commas as
 * the challenges themselves: a name followed by `=` is a parameter, any other a scheme.
 */
export const parseChallenges = (lines: readonly string[]): Challenge[] => lines.flatMap(parseLine);
