const units: Readonly<Record<string, number>> = {
  byte: 1,
  bytes: 1,
  b: 1,
  kb: 2 ** 10,
  mb: 2 ** 20,
  gb: 2 ** 30,
  tb: 2 ** 40,
  pb: 2 ** 50,
};

/**
 * A number as some language writes it: `1,204.50`, `1.204,50`, `1 204,5` or `3,48`. A single sign before three digits
 * separates thousands where it is a comma or the number is one of bytes: sums with a unit have two decimals.
 */
function numberOf(text: string, isWhole: boolean): number {
  const plain = text.replace(/[\s\u00a0\u202f'’]/g, '');
  const last = Math.max(plain.lastIndexOf(','), plain.lastIndexOf('.'));
  if (last < 0) return Number(plain);
  const sign = plain[last] as string;
  const other = sign === ',' ? '.' : ',';
  const isRepeated = plain.indexOf(sign) !== last;
  const isGrouped =
    /^\d{3}$/.test(plain.slice(last + 1)) && !plain.includes(other) && (sign === ',' || isWhole);
  if (isGrouped || isRepeated) return Number(plain.replaceAll(sign, '').replace(other, '.'));
  return Number(`${plain.slice(0, last).replaceAll(other, '')}.${plain.slice(last + 1)}`);
}

const writtenSize = /^\s*(\d[\d.,\s\u00a0\u202f'’]*?|[.,]\d+)\s*([a-z]+)?\s*(?:\([^)]*\))?\s*$/i;

/**
 * Bytes of `59.77 GB`, `1,024 bytes` or `32.22 GB (15.77%)` as the storage summary writes them, exact to the digits
 * that are there; undefined for anything else, such as `Infinite`, `0 bytes (N/A)` or a part of a byte.
 * https://jfrog.com/help/r/jfrog-rest-apis/get-storage-summary-info
 */
export function bytesOf(written: string | number | null | undefined): number | undefined {
  const text = String(written ?? '').slice(0, 100);
  if (/N\/A/i.test(text)) return undefined;
  const [, number, unit = 'bytes'] = writtenSize.exec(text) ?? [];
  const factor = units[unit.toLowerCase()];
  if (number === undefined || factor === undefined) return undefined;
  const exact = typeof written === 'number' ? written : numberOf(number, factor === 1) * factor;
  const bytes = factor === 1 ? exact : Math.round(exact);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
}
