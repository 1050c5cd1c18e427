import type { protobuf } from 'google-gax';

/** The pieces that protobuf messages are made of; https://protobuf.dev/programming-guides/encoding/ */
export type Reader = protobuf.Reader;

/** Calls `field` for each field up to `end`; what it does not read is passed over. */
export function fields(reader: Reader, end: number, field: (number: number) => boolean): void {
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (!field(tag >>> 3)) reader.skipType(tag & 7);
  }
}

/** The end of an embedded message. */
export const embedded = (reader: Reader): number => {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError('an embedded message is longer than the one around it');
  return end;
};

/** Not the reader's own, which takes what is there where a string says that it is longer. */
export function text(reader: Reader): string {
  const end = embedded(reader);
  const read = (reader.buf as Buffer).toString('utf8', reader.pos, end);
  reader.pos = end;
  return read;
}

/** A long integer as a number, without an object in between: sizes and times are below 2^53. -1 for what is below 0. */
export function long(reader: Reader): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = reader.buf[reader.pos];
    if (byte === undefined || scale > 2 ** 63) throw new RangeError('a number that does not end');
    reader.pos += 1;
    value += (byte & 127) * scale;
    if (byte < 128) return value < 2 ** 63 ? value : -1;
  }
}

/** Whole seconds of google.protobuf.Timestamp. */
export function timestamp(reader: Reader): number {
  let seconds = 0;
  const end = embedded(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag >>> 3 === 1) seconds = long(reader);
    else reader.skipType(tag & 7);
  }
  return seconds;
}
