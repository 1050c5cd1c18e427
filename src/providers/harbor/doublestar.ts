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
  const matcher = createMatcher();
  try {
    return matcher(pattern, name.split('/'));
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
function inClass(given: string, character: string): boolean {
  const negated = given.startsWith('^');
  let rest = negated ? given.slice(1) : given;
  if (given === '') throw new BadPattern();
  const take = (): string => {
    const escaped = rest.startsWith('\\');
    const [taken] = escaped ? rest.slice(1) : rest;
    if (taken === undefined || (!escaped && taken === '-')) throw new BadPattern();
    rest = rest.slice(escaped ? 2 : 1);
    return taken;
  };
  let found = false;
  while (rest !== '') {
    const low = take();
    let high = low;
    if (rest.startsWith('-')) {
      rest = rest.slice(1);
      high = take();
    }
    if (low <= character && character <= high) found = true;
  }
  return found !== negated;
}

function createMatcher(): (pattern: string, parts: readonly string[]) => boolean {
  let steps = 0;
  const known = new Map<string, readonly string[] | undefined>();

  /** What is left of the pattern behind the slash for each way in which its first part matches a part of a name. */
  function part(pattern: string, name: string): readonly string[] | undefined {
    const key = `${name}/${pattern}`;
    steps += 1;
    if (steps > mostSteps) throw new BadPattern();
    if (known.has(key)) return known.get(key);
    const found = ways(pattern, name);
    known.set(key, found);
    return found;
  }

  function ways(pattern: string, name: string): readonly string[] | undefined {
    let at = 0;
    for (let place = 0; place < name.length; place += 1) {
      const rest = name.slice(place);
      switch (pattern[at]) {
        case undefined:
        case '/':
          return undefined;
        case '*':
          return star(pattern.slice(at + 1), rest);
        case '{':
          return either(pattern.slice(at + 1), rest);
        case '[': {
          const end = unescaped(pattern.slice(at + 1), ']');
          if (end < 0) throw new BadPattern();
          if (!inClass(pattern.slice(at + 1, at + 1 + end), name[place] as string)) return undefined;
          at += end + 2;
          break;
        }
        case '?':
          at += 1;
          break;
        case '\\':
          at += 1;
          if (at >= pattern.length) throw new BadPattern();
          if (pattern[at] !== name[place]) return undefined;
          at += 1;
          break;
        default:
          if (pattern[at] !== name[place]) return undefined;
          at += 1;
      }
    }
    const left = pattern.slice(at);
    const slash = unescaped(left, '/');
    if (!matchesNothing(slash < 0 ? left : left.slice(0, slash))) return undefined;
    return slash < 0 ? [] : [left.slice(slash + 1)];
  }

  function star(pattern: string, name: string): readonly string[] | undefined {
    if (pattern === '') return [];
    if (pattern.startsWith('/')) return [pattern.slice(1)];
    for (let place = 0; place < name.length; place += 1) {
      const found = part(pattern, name.slice(place));
      if (found) return found;
    }
    return undefined;
  }

  function either(pattern: string, name: string): readonly string[] | undefined {
    const { options, end } = alternatives(pattern);
    const found = options.map((option) => part(option + pattern.slice(end), name));
    return found.some((one) => one !== undefined) ? found.flatMap((one) => one ?? []) : undefined;
  }

  return matches;

  function matches(pattern: string, parts: readonly string[]): boolean {
    const [first = '', ...others] = parts;
    const slash = unescaped(pattern, '/');
    if (slash < 0 && pattern === '**') return true;
    if (slash === 2 && pattern.startsWith('**')) return anywhere(pattern.slice(3), parts);
    const rests = part(pattern, first);
    if (!rests) return false;
    if (parts.length === 1) return rests.length === 0;
    return rests.some((rest) => matches(rest, others));
  }

  /** `**` takes any number of parts, none included; there a pattern that Harbor refuses matches nothing. */
  function anywhere(pattern: string, parts: readonly string[]): boolean {
    return parts.some((_, from) => {
      steps += 1;
      try {
        return steps <= mostSteps && matches(pattern, parts.slice(from));
      } catch (error) {
        if (error instanceof BadPattern && steps <= mostSteps) return false;
        throw error;
      }
    });
  }
}
