import { CollectError } from '../../errors.ts';
import type { Practice, RegistryFacts, RegistryIdentity } from '../../model.ts';
import type { Capability, CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import type { Access, AccessSettings } from './access.ts';
import { type FindingsByDigest, readFindings } from './findings.ts';
import { createManagement, findRegistries, type Location, resourceName } from './management.ts';
import { createResourceGraph } from './resource-graph.ts';

/** What Azure knows of a registry besides its contents. */
export interface Surroundings {
  readonly identity: RegistryIdentity;
  readonly facts: RegistryFacts;
  readonly practices: Readonly<Partial<Record<Practice, boolean>>>;
  readonly findings: FindingsByDigest | undefined;
  /** What could not be read. To be told when the contents can be: else the poll fails, for the same reason perhaps. */
  readonly failures: readonly (readonly [Capability, unknown])[];
}

export interface SurroundingsSettings extends AccessSettings {
  readonly subscription?: string | undefined;
  readonly resourceGroup?: string | undefined;
  readonly findings?:
    | {
        readonly source?: 'defender' | 'none' | undefined;
        readonly assessmentKeys?: readonly string[] | undefined;
      }
    | undefined;
}

/** Whether there is an identity that Azure's own services can be asked with. */
export const asksAzure = ({ auth, anonymous, subscription }: SurroundingsSettings): boolean =>
  (!auth && !anonymous) || subscription !== undefined;

const fromManagement: readonly Capability[] = ['storage', 'quotas', 'practices', 'replication'];

/** Where the registry is among Azure's resources. @throws CollectError `forbidden` where the identity does not see it */
export async function locate(settings: SurroundingsSettings, access: Access): Promise<Location> {
  const { loginServer } = access;
  const { subscription, resourceGroup } = settings;
  if (subscription !== undefined && resourceGroup !== undefined)
    return { subscription, resourceGroup, name: resourceName(loginServer) };
  let odd: CollectError | undefined;
  const [registry] = await findRegistries(createResourceGraph(await access.azure()), {
    loginServer,
    ...(subscription !== undefined && { subscriptions: [subscription] }),
    onOdd: (error) => {
      odd = error;
    },
  });
  if (registry) return registry;
  if (odd) throw odd;
  throw new CollectError(
    'forbidden',
    `Azure Resource Graph shows the identity no registry ${loginServer}${subscription === undefined ? '' : ` in the subscription ${subscription}`}: assign the role "Container Registry Configuration Reader and Data Access Configuration Reader" or Reader on the registry`,
  );
}

/**
 * Reads storage, quotas, settings, copies and findings. Nothing of this fails the poll: what cannot be read is unknown
 * and its capability down.
 */
export async function readSurroundings(
  options: SurroundingsSettings,
  access: Access,
  context: CollectContext,
): Promise<Surroundings> {
  const { signal, session } = context;
  const kept = session.keep('acr surroundings', () => ({
    location: undefined as Location | undefined,
    last: undefined as Surroundings | undefined,
  }));
  // A look at a few repositories after a push: what surrounds them is the same as a moment ago.
  if (context.only && kept.last) return kept.last;
  const pending = new Set<Capability>(fromManagement);
  if (options.findings?.source !== 'none') pending.add('findings');
  const failures: [Capability, unknown][] = [];
  let identity: RegistryIdentity = {};
  let facts: RegistryFacts = {};
  let practices: Partial<Record<Practice, boolean>> = {};
  let findings: FindingsByDigest | undefined;

  /** Reads something; its capabilities are down where that fails. */
  async function read(capabilities: readonly Capability[], what: () => Promise<void>): Promise<void> {
    try {
      await what();
    } catch (error) {
      signal.throwIfAborted();
      // It may have been moved.
      if (isNotFound(error)) kept.location = undefined;
      for (const capability of capabilities) if (pending.has(capability)) failures.push([capability, error]);
    }
    for (const capability of capabilities) pending.delete(capability);
  }

  const readManagement = async (location: Location): Promise<void> => {
    const management = createManagement(await access.azure(), location, context.tell);
    const usages = read(['storage', 'quotas'], async () => {
      facts = { ...facts, ...(await management.usages()) };
    });
    const settings = read(['practices', 'replication'], async () => {
      // Without the home region, a copy cannot be told from it.
      const { region, practices: settingsPractices } = await management.settings();
      practices = { ...practices, ...settingsPractices };
      identity = { account: location.subscription, region };
      pending.delete('practices');
      if (region === undefined)
        throw new CollectError(
          'invalid_response',
          'Azure Resource Manager answered a registry without its location: its copies cannot be told from itself',
        );
      const { copies, left } = await management.replications(region);
      facts = { ...facts, replications: copies };
      if (copies.length > 0 || left === 0) practices = { ...practices, replicated: copies.length > 0 };
    });
    await Promise.all([usages, settings]);
  };

  const readDefender = async ({ subscription, name }: Location): Promise<void> => {
    findings = await readFindings({
      graph: createResourceGraph(await access.azure()),
      loginServer: access.loginServer,
      subscription,
      name,
      assessmentKeys: options.findings?.assessmentKeys ?? [],
      tell: context.tell,
    });
  };

  const all = read([...pending], async () => {
    kept.location ??= await locate(options, access);
    const { location } = kept;
    await Promise.all([
      readManagement(location),
      ...(pending.has('findings') ? [read(['findings'], () => readDefender(location))] : []),
    ]);
  });
  await Promise.race([all, patience(3 * context.connection.timeoutMs, all)]);
  // The contents do not wait for what does not answer: it is down.
  for (const capability of pending)
    failures.push([capability, new CollectError('timeout', 'Azure Resource Manager did not answer in time')]);
  kept.last = { identity, facts, practices, findings, failures: [...failures] };
  return kept.last;
}

/** Ends after so long, or with what is waited for. */
function patience(milliseconds: number, awaited: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    awaited.then(resolve, resolve).finally(() => clearTimeout(timer));
  });
}
