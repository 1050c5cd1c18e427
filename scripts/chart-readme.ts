import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

/** Maps that are values of their own: what stands in them is Kubernetes', or the exporter's configuration. */
const whole = new Set([
  'config',
  'livenessProbe',
  'readinessProbe',
  'resources',
  'podSecurityContext',
  'securityContext',
  'dashboards.labels',
  'dashboards.instanceSelector',
]);

const oneLine = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' ')
    .replaceAll('|', '\\|');

const valueAt = (values: unknown, path: string): unknown =>
  path.split('.').reduce((value, key) => (value as Record<string, unknown>)[key], values);

/** The comment right above a value: what an empty line separates from it belongs to what came before. */
function commentOn({ key }: Pair, otherwise: string): string {
  const above = (isScalar(key) && key.commentBefore) || otherwise;
  return oneLine(above.split('\n\n').at(-1) ?? '');
}

/** Every value below a map, with its path and comment; maps that have values of their own are headings. */
function* valuesIn(
  map: YAMLMap,
  prefix: string,
  head: string,
): Generator<[string, string, 'heading' | 'value']> {
  for (const [index, item] of (map.items as Pair[]).entries()) {
    const path = `${prefix}${String(isScalar(item.key) ? item.key.value : item.key)}`;
    const comment = commentOn(item, index === 0 ? head : '');
    const { value } = item;
    const isGroup = isMap(value) && value.items.length > 0 && !value.flow && !whole.has(path);
    if (!isGroup) yield [path, comment, 'value'];
    else {
      if (comment) yield [path, comment, 'heading'];
      yield* valuesIn(value as YAMLMap, `${path}.`, value.commentBefore ?? '');
    }
  }
}

/**
 * The chart's values as a table, from `values.yaml`: what a comment says above a value is what the table says of it.
 * @param text content of `values.yaml`
 */
export function valuesTable(text: string): string {
  const document = parseDocument(text);
  const values = document.toJS() as unknown;
  const { contents, commentBefore } = document;
  if (!isMap(contents)) throw new Error('values.yaml is no map');
  const shown = (path: string) =>
    path === 'config' ? 'an example' : `\`${JSON.stringify(valueAt(values, path))}\``;
  const rows = [...valuesIn(contents as unknown as YAMLMap, '', commentBefore ?? '')].map(
    ([path, comment, kind]) =>
      kind === 'heading'
        ? `| **\`${path}\`** | | ${comment} |`
        : `| \`${path}\` | ${shown(path)} | ${comment} |`,
  );
  return `| value | default | |\n|---|---|---|\n${rows.join('\n')}`;
}
