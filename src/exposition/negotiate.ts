import type { Format } from './text.ts';

export const contentTypes: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

export type Encoding = 'identity' | 'gzip';

interface Choice {
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly q: number;
}

function choices(header: string): Choice[] {
  return header.split(',').map((range) => {
    const [value = '', ...rest] = range.split(';').map((part) => part.trim().toLowerCase());
    const parameters = new Map(
      rest.map((parameter) => {
        const [name = '', ...text] = parameter.split('=');
        return [name.trim(), text.join('=').trim().replace(/^"|"$/g, '')];
      }),
    );
    const q = Number(parameters.get('q') ?? 1);
    return { value, parameters, q: Number.isNaN(q) ? 0 : q };
  });
}

/** How much a media type is wanted, of the version that we write. */
const wantOf = (accepted: readonly Choice[], type: string, version: string): number =>
  Math.max(
    0,
    ...accepted
      .filter(
        ({ value, parameters }) => value === type && [version, undefined].includes(parameters.get('version')),
      )
      .map(({ q }) => q),
  );

/** OpenMetrics only for those who ask for a version that we speak, at least as much as for text. */
export function negotiate(
  accept: string | undefined,
  acceptEncoding: string | undefined,
): { readonly format: Format; readonly encoding: Encoding } {
  const accepted = choices(accept ?? '');
  const openmetrics = wantOf(accepted, 'application/openmetrics-text', '1.0.0');
  const text = wantOf(accepted, 'text/plain', '0.0.4');
  const encodings = new Map(choices(acceptEncoding ?? '').map(({ value, q }) => [value, q]));
  const gzip = encodings.get('gzip') ?? encodings.get('x-gzip') ?? encodings.get('*') ?? 0;
  return {
    format: openmetrics > 0 && openmetrics >= text ? 'openmetrics' : 'text',
    encoding: gzip > 0 && gzip >= (encodings.get('identity') ?? 0) ? 'gzip' : 'identity',
  };
}
