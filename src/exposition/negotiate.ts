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
  return header.split(',').map((one) => {
    const [value = '', ...rest] = one.split(';').map((part) => part.trim().toLowerCase());
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

/** OpenMetrics only for those who ask for a version that we speak, at least as much as for text. */
export function negotiate(
  accept: string | undefined,
  acceptEncoding: string | undefined,
): { readonly format: Format; readonly encoding: Encoding } {
  let text = 0;
  let openmetrics = 0;
  for (const { value, parameters, q } of choices(accept ?? '')) {
    if (value === 'application/openmetrics-text' && ['1.0.0', undefined].includes(parameters.get('version')))
      openmetrics = Math.max(openmetrics, q);
    if (value === 'text/plain' && ['0.0.4', undefined].includes(parameters.get('version')))
      text = Math.max(text, q);
  }
  let gzip = 0;
  let identity = 0;
  let any = 0;
  let named = false;
  for (const { value, q } of choices(acceptEncoding ?? '')) {
    if (value === 'gzip' || value === 'x-gzip') {
      gzip = q;
      named = true;
    }
    if (value === 'identity') identity = q;
    if (value === '*') any = q;
  }
  const packed = named ? gzip : any;
  return {
    format: openmetrics > 0 && openmetrics >= text ? 'openmetrics' : 'text',
    encoding: packed > 0 && packed >= identity ? 'gzip' : 'identity',
  };
}
