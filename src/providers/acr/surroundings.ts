import { CollectError } from '../../errors.ts';
import type { Practice, RegistryFacts, RegistryIdentity } from '../../model.ts';
import type { Capability, CollectContext } from '../../provider.ts';
import { type Access, type AccessSettings, keptOf } from './access.ts';
import { type FindingsByDigest, readFindings } from './findings.ts';
import { findRegistries, type Location, resourceName } from './management.ts';

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

async function locate(given: SurroundingsSettings, access: Access): Promise<Location> {
  const { loginServer } = access;
  const { subscription, resourceGroup } = given;
  if (subscription !== undefined && resourceGroup !== undefined)
    return { subscription, resourceGroup, name: resourceName(loginServer) };
  const [found] = await findRegistries(await access.graph(), {
    loginServer,
    ...(subscription !== undefined && { subscriptions: [subscription] }),
  });
  if (found) return found;
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
  given: SurroundingsSettings,
  access: Access,
  context: CollectContext,
): Promise<Surroundings> {
  const { signal, session, log } = context;
  const kept = session.keep('acr surroundings', () => ({
    location: undefined as Location | undefined,
    last: undefined as Surroundings | undefined,
  }));
  // A look at a few repositories after a push: what surrounds them is the same as a moment ago.
  if (context.only && kept.last) return kept.last;
  const wantsFindings = given.findings?.source !== 'none';
  const failures: [Capability, unknown][] = [];
  const fail = (capabilities: readonly Capability[], error: unknown): void => {
    signal.throwIfAborted();
    for (const capability of capabilities) failures.push([capability, error]);
  };
  let identity: RegistryIdentity = {};
  let facts: RegistryFacts = {};
  let practices: Partial<Record<Practice, boolean>> = {};
  let findings: FindingsByDigest | undefined;

  async function readManagement(location: Location): Promise<void> {
    const management = await access.management(location);
    async function readUsages(): Promise<void> {
      try {
        const read = await management.usages();
        facts = { ...facts, ...read };
      } catch (error) {
        fail(['storage', 'quotas'], error);
      }
    }
    async function readSettings(): Promise<void> {
      let region: string | undefined;
      try {
        const settings = await management.settings();
        region = settings.region;
        practices = { ...practices, ...settings.practices };
        identity = { account: location.subscription, ...(region !== undefined && { region }) };
      } catch (error) {
        // Without the home region, a copy cannot be told from it.
        return fail(['practices', 'replication'], error);
      }
      try {
        const replications = await management.replications(region);
        facts = { ...facts, replications };
        practices = { ...practices, replicated: replications.length > 0 };
      } catch (error) {
        fail(['replication'], error);
      }
    }
    await Promise.all([readUsages(), readSettings()]);
  }

  async function readDefender({ subscription, name }: Location): Promise<void> {
    try {
      findings = await readFindings({
        graph: await access.graph(),
        loginServer: access.loginServer,
        subscription,
        name,
        assessmentKeys: given.findings?.assessmentKeys ?? [],
        log,
        warned: keptOf(context).warned,
      });
    } catch (error) {
      fail(['findings'], error);
    }
  }

  try {
    const location = kept.location ?? (await locate(given, access));
    kept.location = location;
    await Promise.all([readManagement(location), ...(wantsFindings ? [readDefender(location)] : [])]);
  } catch (error) {
    fail([...fromManagement, ...(wantsFindings ? (['findings'] as const) : [])], error);
  }
  kept.last = { identity, facts, practices, findings, failures };
  return kept.last;
}
