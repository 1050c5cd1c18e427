import { defined } from './defined.ts';
import type { RegistryIdentity } from './model.ts';

/** Options that say where and what a registry is, besides the addresses among them. None of them is a secret. */
const identifying = ['endpoint', 'region', 'profile', 'assumeRoleArn', 'namespaces', 'cloud', 'tenantId'];

/** The addresses among some options, whatever they are called: `endpoint`, `registryEndpoint`, … */
function* addresses(options: object, path = ''): Generator<[string, string]> {
  for (const [key, value] of Object.entries(options)) {
    if (value instanceof URL) yield [`${path}${key}`, value.href];
    else if (value?.constructor === Object) yield* addresses(value, `${path}${key}.`);
  }
}

/**
 * Tells one registry from another: what was learned of one is never shown as another's, even under the same name. A
 * change of credentials or of what is read leaves it as it is. No secret is part of it: addresses have no user.
 */
export function targetOf(input: {
  readonly type: string;
  readonly identity: RegistryIdentity;
  /** The provider's own part of the configuration. */
  readonly options: unknown;
}): string {
  const { type, identity } = input;
  const options = input.options as Readonly<Record<string, unknown>>;
  const entries = Object.entries(defined(options)).filter(([key]) => identifying.includes(key));
  const sorted = (pairs: Iterable<[string, unknown]>) => [...pairs].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    type,
    sorted(Object.entries(defined(identity))),
    sorted(entries),
    sorted(addresses(options)),
  ]);
}
