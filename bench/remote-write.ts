/**
 * Remote write 1.0, as far as a benchmark needs it: samples without metadata, unpacked.
 * https://prometheus.io/docs/specs/prw/remote_write_spec/
 */
export interface WrittenSeries {
  /** With `__name__`; empty values are left out. */
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** Unix seconds, ascending. */
  readonly times: readonly number[];
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return bytes;
}

/** A field of protobuf that holds bytes. */
const field = (number: number, content: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(content.length)]), content]);

/** `Sample { double value = 1; int64 timestamp = 2; }`, in milliseconds. */
function sample(value: number, time: number): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = 9;
  bytes.writeDoubleLE(value, 1);
  return Buffer.concat([bytes, Buffer.from([16, ...varint(time * 1000)])]);
}

/** `TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; }`; labels in the order of their names. */
function timeSeries({ labels, value, times }: WrittenSeries): Buffer {
  const named = Object.entries(labels)
    .filter(([, text]) => text !== '')
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Buffer.concat([
    ...named.map(([name, text]) =>
      field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(text))])),
    ),
    ...times.map((time) => field(2, sample(value, time))),
  ]);
}

/** Snappy's format of a block with one literal: nothing is packed. */
function snappy(content: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(content.length - 1);
  return Buffer.concat([Buffer.from([...varint(content.length), 0xfc]), length, content]);
}

/** Writes series into the head of a Prometheus that accepts it. */
export async function remoteWrite(url: string, series: readonly WrittenSeries[]): Promise<void> {
  const answer = await fetch(`${url}/api/v1/write`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-protobuf',
      'content-encoding': 'snappy',
      'x-prometheus-remote-write-version': '0.1.0',
    },
    body: snappy(Buffer.concat(series.map((one) => field(1, timeSeries(one))))),
  });
  if (!answer.ok) throw new Error(`remote write: ${answer.status} ${(await answer.text()).slice(0, 500)}`);
}
