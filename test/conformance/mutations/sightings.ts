import type { Exchange } from '../../simulators/answers.ts';

/** An answer as it was seen when nothing was changed. */
export interface Sighting {
  /** What was asked, such as `GET /v2/{repository}/tags/list`. */
  readonly operation: string;
  /** The same for the same question of any poll. */
  readonly key: string;
  readonly exchange: Exchange;
  /** The body as JSON; undefined where it is none. */
  readonly document: unknown;
}

/** The repositories that something is about. */
export interface Names {
  /** All of them, as they are exposed. */
  readonly all: readonly string[];
  /** Those that a text names; none where it is about the registry as a whole. */
  namedIn(text: string): readonly string[];
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
/** A name in a path, a query or a document: nothing that goes on as a name does. */
const whole = (name: string): RegExp => new RegExp(`(?<![\\w.-])${escaped(name)}(?![\\w.-]*[\\w-])`);

/** @param all names of repositories as they are exposed: `group/name`, or names alone */
export function createNames(all: readonly string[]): Names {
  const groups = [...new Set(all.map((name) => name.split('/')[0] ?? name))];
  const forms = all.map((name) => [name, whole(name), whole(name.slice(name.indexOf('/') + 1))] as const);
  const groupForms = groups.map((group) => [group, whole(group)] as const);
  return {
    all,
    namedIn(given) {
      const text = decoded(decoded(given));
      const full = forms.filter(([, form]) => form.test(text)).map(([name]) => name);
      if (full.length > 0) return full;
      const named = groupForms.filter(([, form]) => form.test(text)).map(([group]) => group);
      const inside = all.filter((name) => named.includes(name.split('/')[0] ?? name));
      const local = forms.filter(([, , form]) => form.test(text)).map(([name]) => name);
      // A group and the name inside of it, apart from each other.
      const both = local.filter((name) => inside.includes(name));
      return both.length > 0 ? both : inside.length > 0 ? inside : local;
    },
  };
}

/** What is different at every poll: tokens, and what is signed. Digests are not. */
const stable = (text: string): string =>
  text.replace(/(?<![\w:%-])(?!sha256[-:%])[A-Za-z0-9_-]{24,}/g, '~').replace(/\b1[67]\d{8}\b/g, '~');

/** A word that tells questions to one address apart. */
function questionOf({ asked: { headers, body } }: Exchange): string {
  const target = headers['x-amz-target'];
  if (typeof target === 'string') return ` ${target.split('.').at(-1)}`;
  if (body.length === 0) return '';
  const text = body.toString();
  if (/^[\w.]+=/.test(text)) {
    const form = new URLSearchParams(text);
    return ` ${form.get('Action') ?? form.get('grant_type') ?? ''}`;
  }
  if (!text.startsWith('{')) return ` ${text.slice(0, text.indexOf('('))}`;
  const { query } = JSON.parse(text) as { query?: unknown };
  if (typeof query !== 'string') return '';
  const kind = /'microsoft\.[\w./]+'/i.exec(query)?.[0].toLowerCase() ?? '';
  return ` ${query.trim().split(/\s+/)[0]} ${kind}`.trimEnd();
}

/** @param names of repositories, to take them out of addresses */
export function operationOf(exchange: Exchange, { all }: Names): string {
  const groups = new Set(all.map((name) => name.split('/')[0]));
  let path = decoded(decoded(exchange.url.split('?')[0] ?? ''));
  for (const name of [...all].sort((a, b) => b.length - a.length))
    path = path.replaceAll(name, '{repository}');
  const shape = path
    .replace(/\/manifests\/(?!sha256:)[^/]+$/, '/manifests/{tag}')
    .replace(/\/(?!sha256:)[^/]+\/((?:list\.)?manifest\.json)$/, '/{tag}/$1')
    .replace(/\/repositories\/(?!\{)[^/]+/, '/repositories/{name}')
    .split('/')
    .map((part) =>
      /^sha256[:-]/.test(part)
        ? '{digest}'
        : /^(\d+|[0-9a-f]{8}-[0-9a-f-]{27})$/.test(part)
          ? '{id}'
          : groups.has(part)
            ? '{name}'
            : part.replace(/sha256:[0-9a-f]{64}/, '{digest}'),
    )
    .join('/');
  return `${exchange.method} ${shape}${questionOf(exchange)}`;
}

export const keyOf = (exchange: Exchange): string =>
  stable(
    `${exchange.method} ${exchange.url} ${exchange.asked.headers['x-amz-target'] ?? ''} ${exchange.asked.body}`,
  );

const documentOf = ({ body }: Exchange): unknown => {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
};

export const sightingOf = (exchange: Exchange, names: Names): Sighting => ({
  operation: operationOf(exchange, names),
  key: keyOf(exchange),
  exchange,
  document: documentOf(exchange),
});
