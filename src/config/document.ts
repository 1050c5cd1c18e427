import {
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  visit,
} from 'yaml';

/** One thing that is wrong with the configuration. */
export interface Problem {
  readonly file: string;
  /** From 1; absent where the file as a whole is meant. */
  readonly line?: number;
  readonly column?: number;
  /** Such as `registries[1].auth.passwordFile`; empty for the document itself. */
  readonly path: string;
  readonly message: string;
}

/** Everything that is wrong with the configuration, at once and from top to bottom. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(list: readonly Problem[]) {
    const problems = list
      .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
      // One slip makes the parser stumble several times.
      .filter(({ line, message }, index, all) => {
        const before = all[index - 1];
        return line === undefined || before?.line !== line || before.message !== message;
      });
    super(
      problems
        .map(({ file, line, column, path, message }) => {
          const place = line === undefined ? file : `${file}:${line}:${column}`;
          return `${place}: ${path && `${path}: `}${message}`;
        })
        .join('\n'),
    );
    this.problems = problems;
  }
}

type Path = readonly (string | number)[];

/** `registries[1].auth.passwordFile` */
export function showPath(path: Path): string {
  return path.reduce<string>(
    (shown, part) =>
      typeof part === 'number' ? `${shown}[${part}]` : shown === '' ? part : `${shown}.${part}`,
    '',
  );
}

/** Where a node stands, from the nodes that it is in. */
function pathOf(node: Node, ancestors: readonly unknown[]): (string | number)[] {
  const line = [...ancestors, node];
  return ancestors.flatMap((parent, depth): (string | number)[] => {
    if (isSeq(parent)) return [parent.items.indexOf(line[depth + 1])];
    return isPair(parent) && isScalar(parent.key) ? [String(parent.key.value)] : [];
  });
}

/** A YAML document whose values know where they stand. */
export interface ParsedDocument {
  readonly value: unknown;
  /** Line and column of a path, or of the nearest thing above it that exists; of a key for an unknown key. */
  locate(path: Path): { readonly line: number; readonly column: number };
}

/** What the parser says, and what people mean by what it stumbles over. */
function explainSyntax(message: string, around: string): string {
  if (message.includes('multiple documents'))
    return 'the file holds more than one document: everything from the second `---` on has to go';
  if (/:\s+\*\//.test(around)) return 'a value that begins with * has to be in quotes: "*/5 * * * *"';
  if (message.startsWith('Unexpected') && around.includes('${'))
    return `a reference to a variable within { } or [ ] has to be in quotes: "\${NAME}"`;
  if (message.includes('keys must be unique')) return 'this setting is given twice: keep one';
  if (message.includes('Block collections are not allowed within flow'))
    return 'text that holds a colon and a space has to be in quotes';
  if (/Nested mappings|Implicit keys|same column|Implicit map keys/.test(message))
    return 'this line does not fit those beside it: settings of one entry begin in the same column, a space follows each colon, and text that holds a colon and a space is in quotes';
  if (message.startsWith('Plain value cannot start with')) return `${message}: put the value in quotes`;
  if (/\t/.test(around) && /indent|tab/i.test(message)) return 'YAML is indented by spaces, not by tabs';
  return message.replace(/\s+/g, ' ');
}

/** Where a setting stands, or the deepest part of its path that is there. */
function offsetOf(contents: unknown, path: Path): number {
  let node = contents;
  let offset = (node as Node | null)?.range?.[0] ?? 0;
  for (const part of path) {
    const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && key.value === part) : undefined;
    const next = isSeq(node) && typeof part === 'number' ? node.items[part] : pair?.value;
    const start = (pair ? (pair.key as Scalar) : (next as Node | undefined))?.range?.[0];
    if (!pair && !next) break;
    offset = start ?? offset;
    node = next;
  }
  return offset;
}

/**
 * Parses YAML and puts environment variables in place of `${NAME}` and `${NAME:-default}` in text values (`$$` is a
 * dollar sign). A value that was nothing but a reference stays text: `"${PORT}"` is no number.
 * @throws ConfigError for syntax, duplicate keys, and every variable that is not set.
 */
export function readDocument(text: string, file: string, env: NodeJS.ProcessEnv): ParsedDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: true,
    prettyErrors: false,
    merge: true,
  });
  const positionOf = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems: Problem[] = [...document.errors, ...document.warnings].map((error) => ({
    file,
    ...positionOf(error.pos[0]),
    path: '',
    message: explainSyntax(error.message, text.slice(error.pos[0] - 40, error.pos[1] + 40)),
  }));

  const locate = (path: Path) => positionOf(offsetOf(document.contents, path));

  visit(document, {
    Alias(_key, node, ancestors) {
      if (node.resolve(document)) return;
      const path = showPath(pathOf(node, ancestors));
      const message = node.source.startsWith('/')
        ? 'a value that begins with * has to be in quotes: "*/5 * * * *"'
        : `there is no anchor &${node.source} before this: write it, or the value itself`;
      problems.push({ file, ...positionOf(node.range?.[0] ?? 0), path, message });
    },
    Scalar(key, node, ancestors) {
      if (key === 'key' || typeof node.value !== 'string' || !node.value.includes('$')) return;
      node.value = node.value.replace(
        /\$\$|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?/g,
        (whole, name: string | undefined, fallback: string | undefined) => {
          if (whole === '$$') return '$';
          const value = name === undefined ? undefined : env[name] || fallback;
          if (value !== undefined) return value;
          problems.push({
            file,
            ...positionOf(node.range?.[0] ?? 0),
            path: showPath(pathOf(node, ancestors)),
            message:
              name === undefined
                ? `holds a \${ that is no reference to a variable: write \${NAME} or \${NAME:-default}, or $\${ for the characters themselves`
                : `the environment variable ${name} is not set: set it, or write \${${name}:-default}`,
          });
          return whole;
        },
      );
    },
  });
  if (problems.length > 0) throw new ConfigError(problems);
  try {
    return { value: document.toJS(), locate };
  } catch (error) {
    // The library's guard against aliases of aliases that unfold to gigabytes.
    const message = `the aliases (*name) unfold to too much, write out what is needed: ${(error as Error).message}`;
    throw new ConfigError([{ file, ...positionOf(0), path: '', message }]);
  }
}
