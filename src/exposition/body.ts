import { registryMetrics, repositoryMetrics } from '../metrics.ts';
import { createChunk, gzipHeader, gzipTrailer, type Joined, join, joinAll, plainOf } from './chunk.ts';
import { contentTypes, type Encoding } from './negotiate.ts';
import type { Published } from './render.ts';
import { type Format, header } from './text.ts';
import type { ExpositionBody } from './write.ts';

/** Heads of the families, as chunks. */
export const createHeads = (): ReadonlyMap<string, Readonly<Record<Format, Joined>>> =>
  new Map(
    [...registryMetrics, ...repositoryMetrics].map((row) => [
      row.name,
      {
        text: join([createChunk(header(row, 'text'), true)]),
        openmetrics: join([createChunk(header(row, 'openmetrics'), true)]),
      },
    ]),
  );

/** All families in the table's order, each with the samples of all registries. */
export function assemble(
  all: readonly Published[],
  heads: ReturnType<typeof createHeads>,
  format: Format,
): Joined {
  const parts: Joined[] = [];
  const family = (name: string, samples: (Joined | undefined)[]) => {
    const present = samples.filter((sample) => sample !== undefined);
    const head = heads.get(name)?.[format];
    if (present.length > 0 && head) parts.push(head, ...present);
  };
  for (const [index, row] of registryMetrics.entries())
    family(
      row.name,
      all.map(({ own }) => own.rows[index]),
    );
  for (const [index, row] of repositoryMetrics.entries())
    family(
      row.name,
      all.map(({ repositoryRows }) => repositoryRows[index]),
    );
  return joinAll(parts);
}

/** The body of a scrape: what is ready, and the exporter's own metrics. */
export function bodyOf(ready: Joined, own: string, format: Format, encoding: Encoding): ExpositionBody {
  const tail = format === 'openmetrics' ? `${own}# EOF\n` : own;
  const last = join(tail === '' ? [] : [createChunk(tail, true)]);
  const whole = joinAll([{ ...ready, chunks: [] }, last]);
  const type = { 'Content-Type': contentTypes[format], Vary: 'Accept, Accept-Encoding' };
  if (encoding === 'gzip')
    return {
      headers: { ...type, 'Content-Encoding': 'gzip' },
      length: gzipHeader.length + whole.deflatedLength + 10,
      *buffers() {
        yield gzipHeader;
        for (const { deflated } of ready.chunks) yield deflated;
        for (const { deflated } of last.chunks) yield deflated;
        yield gzipTrailer(whole);
      },
    };
  return {
    headers: type,
    length: whole.length,
    async *buffers() {
      for (const { chunks } of [ready, last])
        for (const chunk of chunks) yield chunk.plain ?? (await plainOf(chunk));
    },
  };
}
