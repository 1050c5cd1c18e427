/**
 * CRC-32 of a concatenation from the CRCs of its parts, so that compressed chunks join into one gzip member without
 * being read again. The method is zlib's `crc32_combine` (https://github.com/madler/zlib/blob/develop/crc32.c):
 * appending `length` bytes multiplies the first CRC by x^(8·length) modulo the CRC's polynomial.
 */
const polynomial = 0xedb88320;

/** Product of two polynomials modulo the CRC's, bits reflected. */
function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= factor;
    factor = (factor & 1) !== 0 ? (factor >>> 1) ^ polynomial : factor >>> 1;
  }
  return product >>> 0;
}

/** x^(2^n) for each n, by squaring. */
const powers: readonly number[] = (() => {
  const table = [0x40000000];
  for (let n = 1; n < 32; n += 1) table.push(multiply(table[n - 1] as number, table[n - 1] as number));
  return table;
})();

/** x^(8·length). The exponents of x repeat after 2^32 - 1, hence the index modulo 32. */
function shiftOf(length: number): number {
  let shift = 0x80000000;
  let index = 3;
  for (let rest = length; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) shift = multiply(powers[index % 32] as number, shift);
    index += 1;
  }
  return shift;
}

/** The CRC of A followed by B, where B has `lengthB` bytes. */
export function combineCrc(crcA: number, crcB: number, lengthB: number): number {
  if (lengthB === 0) return crcA;
  return (multiply(shiftOf(lengthB), crcA) ^ crcB) >>> 0;
}
