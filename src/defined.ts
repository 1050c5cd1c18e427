const strip = <T extends object>(record: T): T =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as T;

/**
 * A record without its undefined fields, or the record itself where there are none. A field that was not read may be
 * there as `undefined`: where records are merged, it must not take the place of one that was read.
 */
export function defined<T extends object>(record: T): T {
  for (const key in record) if (record[key] === undefined) return strip(record);
  return record;
}
