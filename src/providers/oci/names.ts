/** Longer than any registry takes: the specification advises 255 characters with the host. */
const longestName = 512;

/** Whether a name can stand in a path: `.` and `..` would lead to another address, however they are escaped. */
export const isName = (name: string): boolean =>
  name.length <= longestName &&
  name.isWellFormed() &&
  name.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');

/** https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests */
export const isTag = (name: string): boolean => /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/.test(name);
