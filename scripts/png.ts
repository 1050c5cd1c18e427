import { crc32, deflateSync, inflateSync } from 'node:zlib';

/** A picture of a page has a few hundred colours: with a palette its file is a third of the size. */
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function* chunks(png: Buffer): Generator<{ type: string; data: Buffer }> {
  for (let at = signature.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    yield { type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) };
    at += length + 12;
  }
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** https://www.w3.org/TR/png-3/#9Filter-type-4-Paeth */
function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

/** Undoes the filters of the lines: colours one after the other. */
function pixels(raw: Buffer, width: number, height: number, bytes: number): Buffer {
  const line = width * bytes;
  const out = Buffer.alloc(line * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (line + 1)] ?? 0;
    for (let x = 0; x < line; x++) {
      const at = y * line + x;
      const before = x >= bytes ? at - bytes : undefined;
      // Outside of the picture everything is 0.
      const [left, up, corner] = [before, at - line, before === undefined ? before : before - line].map(
        (place) => out[place ?? -1] ?? 0,
      ) as [number, number, number];
      const add = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter] ?? 0;
      out[at] = ((raw[y * (line + 1) + 1 + x] ?? 0) + add) & 255;
    }
  }
  return out;
}

/** A colour word in a table has few pixels, and means something: strong colours count more than shades of grey. */
function strength(colour: number): number {
  const parts = [colour >> 16, (colour >> 8) & 255, colour & 255];
  return 1 + (Math.max(...parts) - Math.min(...parts)) / 4;
}

/** The 256 most frequent colours, and for every colour the nearest of them. */
function palette(colours: readonly number[]): {
  readonly all: readonly number[];
  nearest(colour: number): number;
} {
  const counts = new Map<number, number>();
  for (const colour of colours) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const all = [...counts]
    .toSorted((a, b) => b[1] * strength(b[0]) - a[1] * strength(a[0]))
    .slice(0, 256)
    .map(([colour]) => colour);
  const known = new Map(all.map((colour, index) => [colour, index]));
  const far = (a: number, b: number) =>
    ((a >> 16) - (b >> 16)) ** 2 + (((a >> 8) & 255) - ((b >> 8) & 255)) ** 2 + ((a & 255) - (b & 255)) ** 2;
  return {
    all,
    nearest(colour) {
      const found = known.get(colour);
      if (found !== undefined) return found;
      const index = all.reduce(
        (best, one, at) => (far(one, colour) < far(all[best] ?? 0, colour) ? at : best),
        0,
      );
      known.set(colour, index);
      return index;
    },
  };
}

/** The same picture with a palette of at most 256 colours. */
export function withPalette(png: Buffer): Buffer {
  const parts = [...chunks(png)];
  const header = parts.find(({ type }) => type === 'IHDR')?.data ?? Buffer.alloc(13);
  const [width, height, depth, kind] = [header.readUInt32BE(0), header.readUInt32BE(4), header[8], header[9]];
  if (depth !== 8 || (kind !== 2 && kind !== 6)) return png;
  const bytes = kind === 6 ? 4 : 3;
  const raw = inflateSync(Buffer.concat(parts.filter(({ type }) => type === 'IDAT').map(({ data }) => data)));
  const plain = pixels(raw, width, height, bytes);
  const colours = Array.from({ length: width * height }, (_, index) => plain.readUIntBE(index * bytes, 3));
  const { all, nearest } = palette(colours);
  const lines = Buffer.alloc((width + 1) * height);
  colours.forEach((colour, index) => {
    lines[Math.floor(index / width) * (width + 1) + 1 + (index % width)] = nearest(colour);
  });
  const indexed = Buffer.from(header);
  indexed[9] = 3;
  return Buffer.concat([
    signature,
    chunk('IHDR', indexed),
    chunk('PLTE', Buffer.from(all.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]))),
    chunk('IDAT', deflateSync(lines, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
