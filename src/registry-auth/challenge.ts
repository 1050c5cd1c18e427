/** One challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1). Scheme and parameter names are lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Sticky expressions over the header: a name, and a parameter's value. */
const token = /[\w!#$%&'*+.^`|~-]+/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;
/** More than a token may hold: some servers write the address of their token server without quotes. */
const unquoted = /[^\s",]+/y;

/**
 * All challenges of all header lines. A line may hold several, whose parameters are separated by the same commas as
 * the challenges themselves: a name followed by `=` is a parameter, any other a scheme. What cannot be read ends
 * its line; what was read before stays.
 */
export function parseChallenges(lines: readonly string[]): Challenge[] {
  const challenges: Challenge[] = [];
  for (const line of lines) {
    let at = 0;
    const take = (expression: RegExp): string | undefined => {
      expression.lastIndex = at;
      const match = expression.exec(line);
      if (!match) return undefined;
      at = expression.lastIndex;
      return match[1] ?? match[0];
    };
    const skip = (): void => {
      while (at < line.length && /[\s,]/.test(line[at] as string)) at += 1;
    };
    let parameters: Map<string, string> | undefined;
    for (skip(); at < line.length; skip()) {
      const name = take(token);
      if (name === undefined) break;
      const afterName = at;
      while (line[at] === ' ' || line[at] === '\t') at += 1;
      if (line[at] === '=' && parameters) {
        at += 1;
        while (line[at] === ' ' || line[at] === '\t') at += 1;
        const value = line[at] === '"' ? take(quoted)?.replace(/\\(.)/g, '$1') : (take(unquoted) ?? '');
        if (value === undefined) break;
        if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
        continue;
      }
      at = afterName;
      parameters = new Map();
      challenges.push({ scheme: name.toLowerCase(), parameters });
    }
  }
  return challenges;
}
