/** One sample of the text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const types = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];
const number = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN)$/;

/**
 * A strict parser of the text format 0.0.4, written from its description alone and taking nothing that is not in it:
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 * @throws Error naming the line, for anything malformed, a sample outside its family, or the same series twice
 */
export function parseExposition(text: string): Sample[] {
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line does not end with a line feed');
  const samples: Sample[] = [];
  const families = new Map<string, string>();
  const helped = new Set<string>();
  const series = new Set<string>();
  let family = '';

  for (const [index, line] of text.slice(0, -1).split('\n').entries()) {
    const fail = (what: string): never => {
      throw new Error(`line ${index + 1}: ${what}: ${JSON.stringify(line.slice(0, 200))}`);
    };
    if (line.startsWith('#')) {
      const [, kind, name = '', rest = ''] =
        /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/su.exec(line) ?? fail('no comment of the format');
      if (kind === 'HELP') {
        if (helped.has(name)) fail('a second HELP');
        if (/\\(?![\\n])/.test(rest.replaceAll('\\\\', ''))) fail('a wrong escape');
        helped.add(name);
      } else {
        if (families.has(name)) fail('a second TYPE');
        if (!types.includes(rest)) fail('no type');
        families.set(name, rest);
        family = name;
      }
      continue;
    }
    const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0] ?? fail('no name');
    const base = families.get(family) === 'histogram' ? name.replace(/_(?:bucket|sum|count)$/, '') : name;
    if (base !== family) fail(`a sample outside its family, after ${family}`);
    let at = name.length;
    const labels: Record<string, string> = {};
    if (line[at] === '{') {
      at += 1;
      while (line[at] !== '}') {
        const start = /[a-zA-Z_][a-zA-Z0-9_]*="/y;
        start.lastIndex = at;
        const opening = start.exec(line)?.[0] ?? fail('no label');
        const label = opening.slice(0, -2);
        if (label in labels) fail('a label twice');
        at += opening.length;
        let value = '';
        for (;;) {
          const character = line[at];
          if (character === undefined) fail('a label value without an end');
          at += 1;
          if (character === '"') break;
          if (character !== '\\') {
            value += character;
            continue;
          }
          const escaped = { n: '\n', '"': '"', '\\': '\\' }[line[at] ?? ''] ?? fail('a wrong escape');
          value += escaped;
          at += 1;
        }
        labels[label] = value;
        if (line[at] === ',') at += 1;
        else if (line[at] !== '}') fail('neither comma nor brace');
      }
      at += 1;
    }
    const shown = line.slice(at);
    if (!shown.startsWith(' ') || !number.test(shown.slice(1))) fail('no value');
    const identity = JSON.stringify([name, Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))]);
    if (series.has(identity)) fail('the same series twice');
    series.add(identity);
    const value = Number(shown.slice(1).replace('Inf', 'Infinity'));
    samples.push({ name, labels, value });
  }
  return samples;
}
