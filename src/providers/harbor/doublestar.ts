/**
 * Patterns as Harbor's rules and replications take them: those of version 1 of Go's doublestar, with its ways. They
 * differ from what JavaScript's libraries take: `svc/**` does not match `svc`, `{one}` matches `one`, and a name is
 * matched part by part, between slashes.
 * https://github.com/bmatcuk/doublestar/blob/v1.3.4/README.md#patterns
 */

/** A pattern that Harbor refuses; it finds out only when it comes to the wrong place. */
class BadPattern extends Error {}

/** Patterns may be written so that trying every way takes for ever. */
const mostSteps = 20_000;

/**
 * Whether a pattern matches a whole name.
 * @returns undefined for a pattern that Harbor refuses
 */
export function matchDoublestar(pattern: string, name: string): boolean | undefined {
  try {
    return new Matcher().matches(pattern, name.split('/'));
  } catch (error) {
    if (error instanceof BadPattern) return undefined;
    throw error;
  }
}

/** The place of a character that no backslash stands before, or -1. */
function unescaped(text: string, wanted: string): number {
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1))
    if (text[at - 1] !== '\\') return at;
  return -1;
}

/** The alternatives behind a `{`, and where the text goes on behind the `}`. */
function alternatives(text: string): { readonly options: string[]; readonly end: number } {
  const options: string[] = [];
  let start = 0;
  let depth = 1;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '\\') at += 1;
    else if (character === '{') depth += 1;
    else if (character === '}') depth -= 1;
    const ends = depth === 0 && character === '}';
    if (ends || (character === ',' && depth === 1)) {
      options.push(text.slice(start, at));
      start = at + 1;
    }
    if (ends) return { options, end: at + 1 };
  }
  throw new BadPattern();
}

/** Whether what is left of a pattern matches nothing at all. */
function matchesNothing(pattern: string): boolean {
  if (['', '*', '**'].includes(pattern)) return true;
  if (!pattern.startsWith('{')) return false;
  const { options, end } = alternatives(pattern.slice(1));
  return matchesNothing(pattern.slice(1 + end)) && options.some(matchesNothing);
}

/** Whether a character belongs to a class, without its brackets: `a-z`, `^0-9`. */
function inClass(text: string, character: string): boolean {
  const negated = text.startsWith('^');
  let rest = negated ? text.slice(1) : text;
  if (text === '') throw new BadPattern();
  const take = (): string => {
    const escaped = rest.startsWith('\\');
    const [taken] = escaped ? rest.slice(1) : rest;
    if (taken === undefined || (!escaped && taken === '-')) throw new BadPattern();
    rest = rest.slice(escaped ? 2 : 1);
    return taken;
  };
  let isIn = false;
  while (rest !== '') {
    const low = take();
    let high = low;
    if (rest.startsWith('-')) {
      rest = rest.slice(1);
      high = take();
    }
    if (low <= character && character <= high) isIn = true;
  }
  return isIn !== negated;
}

/** A part of a pattern that stands for one character: how long it is, and whether it takes the character. */
function single(pattern: string, character: string): { readonly length: number; readonly fits: boolean } {
  switch (pattern[0]) {
    case '?':
      return { length: 1, fits: true };
    case '[': {
      const end = unescaped(pattern.slice(1), ']');
      if (end < 0) throw new BadPattern();
      return { length: end + 2, fits: inClass(pattern.slice(1, 1 + end), character) };
    }
    case '\\':
      if (pattern.length === 1) throw new BadPattern();
      return { length: 2, fits: pattern[1] === character };
    default:
      return { length: 1, fits: pattern[0] === character };
  }
}

/** Matches one pattern with names; each pair of what is left of both is tried once. */
class Matcher {
  #steps = 0;
  readonly #tried = new Map<string, readonly string[] | undefined>();

  matches(pattern: string, parts: readonly string[]): boolean {
    const [first = '', ...others] = parts;
    const slash = unescaped(pattern, '/');
    if (slash < 0 && pattern === '**') return true;
    if (slash === 2 && pattern.startsWith('**')) return this.#anywhere(pattern.slice(3), parts);
    const rests = this.#part(pattern, first);
    if (!rests) return false;
    return others.length === 0 ? rests.length === 0 : rests.some((rest) => this.matches(rest, others));
  }

  /** `**` takes any number of parts, none included; there a pattern that Harbor refuses matches nothing. */
  #anywhere(pattern: string, parts: readonly string[]): boolean {
    return parts.some((_, from) => {
      this.#steps += 1;
      try {
        return this.#steps <= mostSteps && this.matches(pattern, parts.slice(from));
      } catch (error) {
        if (error instanceof BadPattern && this.#steps <= mostSteps) return false;
        throw error;
      }
    });
  }

  /** What is left of the pattern behind its slash, for each way in which its first part matches a part of a name. */
  #part(pattern: string, name: string): readonly string[] | undefined {
    const key = `${name}/${pattern}`;
    this.#steps += 1;
    if (this.#steps > mostSteps) throw new BadPattern();
    if (!this.#tried.has(key)) this.#tried.set(key, this.#ways(pattern, name));
    return this.#tried.get(key);
  }

  #ways(pattern: string, name: string): readonly string[] | undefined {
    let rest = pattern;
    for (let at = 0; at < name.length; at += 1) {
      if (rest === '' || rest.startsWith('/')) return undefined;
      if (rest.startsWith('*')) return this.#star(rest.slice(1), name.slice(at));
      if (rest.startsWith('{')) return this.#either(rest.slice(1), name.slice(at));
      const { length, fits } = single(rest, name[at] as string);
      if (!fits) return undefined;
      rest = rest.slice(length);
    }
    const slash = unescaped(rest, '/');
    if (!matchesNothing(slash < 0 ? rest : rest.slice(0, slash))) return undefined;
    return slash < 0 ? [] : [rest.slice(slash + 1)];
  }

  #star(pattern: string, name: string): readonly string[] | undefined {
    if (pattern === '') return [];
    if (pattern.startsWith('/')) return [pattern.slice(1)];
    for (let at = 0; at < name.length; at += 1) {
      const rests = this.#part(pattern, name.slice(at));
      if (rests) return rests;
    }
    return undefined;
  }

  #either(pattern: string, name: string): readonly string[] | undefined {
    const { options, end } = alternatives(pattern);
    const rests = options.map((option) => this.#part(option + pattern.slice(end), name));
    return rests.some((way) => way !== undefined) ? rests.flatMap((way) => way ?? []) : undefined;
  }
}
