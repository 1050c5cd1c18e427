/**
 * Artifactory's query language, as far as anybody asks it here, with what the real one refuses:
 * https://jfrog.com/help/r/jfrog-rest-apis/aql-syntax and
 * https://github.com/jfrog/jfrog-skills/blob/main/skills/jfrog/references/artifactory-aql-syntax.md
 */
export interface Item {
  readonly repo: string;
  readonly path: string;
  readonly name: string;
  readonly size: number;
  readonly sha256?: string;
  readonly created: string;
  readonly modified: string;
  readonly stats?: { readonly downloads: number; readonly downloaded: string };
  readonly properties?: Readonly<Record<string, string>>;
}

export interface Query {
  readonly criteria: Readonly<Record<string, unknown>>;
  readonly include: readonly string[];
  readonly sort?: readonly string[];
  readonly offset?: number;
  readonly limit?: number;
}

/** A query that Artifactory answers with 400. */
export class AqlError extends Error {}

const itemFields = ['repo', 'path', 'name', 'type', 'size', 'sha256', 'created', 'modified'];
const otherFields = [
  'stat',
  'stat.downloads',
  'stat.downloaded',
  'property',
  'property.key',
  'property.value',
];

/** Parses `items.find({…}).include(…).sort({…}).offset(n).limit(n)`: the order is enforced. */
export function parseAql(text: string): Query {
  if (text.length > 6000) throw new AqlError('AQL query exceeds the maximum size of 6000 characters');
  const [, find, include, sort, offset, limit] =
    /^\s*items\.find\((\{[\s\S]*?\})\)(?:\.include\(([^)]*)\))?(?:\.sort\(([^)]*)\))?(?:\.offset\((\d+)\))?(?:\.limit\((\d+)\))?\s*$/.exec(
      text,
    ) ?? [];
  if (find === undefined)
    throw new AqlError(
      `Failed to parse query: ${text.slice(0, 40)}, it looks like there is syntax error near`,
    );
  const fields = JSON.parse(`[${include ?? '"repo","path","name","size"'}]`) as string[];
  for (const field of fields)
    if (!itemFields.includes(field) && !otherFields.includes(field))
      throw new AqlError(`Unknown field ${field} in include`);
  const order = sort === undefined ? undefined : (JSON.parse(sort) as { $asc?: string[] }).$asc;
  for (const field of order ?? [])
    if (!fields.includes(field)) throw new AqlError(`sort field ${field} is not in the result set`);
  const paged = order ?? offset ?? limit;
  // The real one ignores them without a word, which is worse.
  if (paged !== undefined && fields.some((field) => otherFields.includes(field)))
    throw new AqlError('sort, offset and limit do not work with fields of other domains');
  return {
    criteria: JSON.parse(find) as Query['criteria'],
    include: fields,
    ...(order && { sort: order }),
    ...(offset !== undefined && { offset: Number(offset) }),
    ...(limit !== undefined && { limit: Number(limit) }),
  };
}

const pattern = (text: string): RegExp =>
  new RegExp(
    `^${text
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '[\\s\\S]*')
      .replaceAll('?', '[\\s\\S]')}$`,
  );

function compare(value: string, comparator: string, wanted: string): boolean {
  switch (comparator) {
    case '$eq':
      return value === wanted;
    case '$ne':
      return value !== wanted;
    case '$match':
      return pattern(wanted).test(value);
    case '$nmatch':
      return !pattern(wanted).test(value);
    case '$gt':
      return value > wanted;
    case '$gte':
      return value >= wanted;
    case '$lt':
      return value < wanted;
    case '$lte':
      return value <= wanted;
    default:
      throw new AqlError(`unknown comparator ${comparator}`);
  }
}

function fits(item: Item, criteria: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(criteria).every(([field, wanted]) => {
    if (field === '$and') return (wanted as Query['criteria'][]).every((one) => fits(item, one));
    if (field === '$or') return (wanted as Query['criteria'][]).some((one) => fits(item, one));
    if (!itemFields.includes(field)) throw new AqlError(`unknown field ${field}`);
    const value = field === 'type' ? 'file' : String(item[field as keyof Item] ?? '');
    if (typeof wanted !== 'object' || wanted === null) return compare(value, '$eq', String(wanted));
    return Object.entries(wanted).every(([comparator, text]) => compare(value, comparator, String(text)));
  });
}

/** The items that a query finds, all of them, in its order. */
export function find(items: Iterable<Item>, { criteria, sort }: Query): Item[] {
  const found = [...items].filter((item) => fits(item, criteria));
  if (sort)
    found.sort((a, b) => {
      for (const field of sort) {
        const [left, right] = [String(a[field as keyof Item]), String(b[field as keyof Item])];
        if (left !== right) return left < right ? -1 : 1;
      }
      return 0;
    });
  return found;
}

/** An item as it is answered: only what was asked for; statistics only of what was ever downloaded. */
export function answerOf(item: Item, include: readonly string[]): Record<string, unknown> {
  const answer: Record<string, unknown> = {};
  for (const field of include) {
    if (field.startsWith('stat')) {
      if (item.stats) answer['stats'] = [item.stats];
    } else if (field.startsWith('property')) {
      if (item.properties)
        answer['properties'] = Object.entries(item.properties).map(([key, value]) => ({ key, value }));
    } else if (field === 'type') answer['type'] = 'file';
    else if (item[field as keyof Item] !== undefined) answer[field] = item[field as keyof Item];
  }
  return answer;
}
