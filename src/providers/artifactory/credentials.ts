import { z } from 'zod';
import type { RegistryFacts } from '../../model.ts';
import { readPart, tellOfWord } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import type { Auth } from '../../registry-auth.ts';
import { count, expected, list, optional, text } from '../../wire.ts';
import { type Api, administrator } from './api.ts';

type Credential = NonNullable<RegistryFacts['credentials']>[number];

const license = z.object({
  // Empty for an edition without an end, `N/R` in the cloud.
  validThrough: optional('validThrough', z.string()),
  nodeId: optional('nodeId', text),
});
/** https://jfrog.com/help/r/jfrog-rest-apis/ha-license-information and …/license-information */
const licenses = z.object({ licenses: list('licenses', license) });
/** https://jfrog.com/help/r/jfrog-rest-apis/get-certificates */
const certificates = list(
  'certificates',
  z.object({ certificateAlias: text, validUntil: expected('validUntil', text) }),
);
/** https://jfrog.com/help/r/jfrog-rest-apis/get-tokens */
const tokens = z.object({
  tokens: list(
    'tokens',
    z.object({
      token_id: text,
      subject: optional('subject', text),
      // Empty where there is none.
      description: optional('description', z.string()),
      expiry: optional('expiry', count),
      issued_at: optional('issued_at', count),
    }),
  ),
});
const claims = z.object({ exp: z.number().positive() });

/** Tokens that live less are made and thrown away by machines: each would be a series of its own. */
const shortestLifeSeconds = 7 * 86_400;
const tokensAtMost = 100;

/**
 * Unix seconds of `Jan 5, 2027` (a licence), of an ISO time or of `Sun May 01 2019 10:00:00 GMT +02:00 (UTC)` (a
 * certificate). A licence that keeps its day to itself, `Jul XX, 2027`, may end on the first. Without a year in front
 * or a month by its name it is not known which number is which.
 */
export function expiryOf(written: string | null | undefined): number | undefined {
  const plain = (written ?? '')
    .replace(/\(.*\)\s*$/, '')
    .replace(/GMT\s+(?=[+-])/, 'GMT')
    .trim();
  const [, month, day = '', year] = /^([A-Z][a-z]{2}) (\d{1,2}|[A-Z]{2}), (\d{4})$/.exec(plain) ?? [];
  const milliseconds = month
    ? Date.parse(`${/\d/.test(day) ? day : '1'} ${month} ${year} 00:00:00 GMT`)
    : Date.parse(/^\d{4}-|[A-Z][a-z]{2}/.test(plain) ? plain : '');
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

const withoutEnd = /^\s*(?:N\/[AR]|never)?\s*$/i;

/** A credential and when it expires; one whose end cannot be understood is told. */
function credentialOf(context: CollectContext, credential: string, end: string | undefined): Credential[] {
  const expiresAt = expiryOf(end);
  if (expiresAt !== undefined) return [{ credential, expiresAt }];
  if (!withoutEnd.test(end ?? ''))
    tellOfWord(context, `the end of ${credential}`, end, 'its expiry is unknown');
  return [];
}

/** When the exporter's own token expires, where it says so itself. The token is not verified, and shown nowhere. */
export async function ownToken(auth: Auth | undefined): Promise<Credential | undefined> {
  const secret = auth?.token ?? auth?.password;
  const [, payload] = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec((await secret?.read()) ?? '') ?? [];
  if (payload === undefined) return undefined;
  try {
    const parsed = claims.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
    return parsed.success ? { credential: 'exporter', expiresAt: parsed.data.exp } : undefined;
  } catch {
    return undefined;
  }
}

async function readLicenses(api: Api, context: CollectContext): Promise<Credential[]> {
  // JFrog's cloud needs none, and says so with 400: https://github.com/peimanja/artifactory_exporter/issues/171
  const accept = [400, 404];
  const cluster = await api.read(
    { path: 'artifactory/api/system/licenses', operation: 'licenses', accept },
    licenses,
  );
  if (cluster?.licenses.length)
    return cluster.licenses.flatMap(({ validThrough, nodeId }) => {
      const isOneOfMany = nodeId !== undefined && cluster.licenses.length > 1;
      return credentialOf(context, isOneOfMany ? `license/${nodeId}` : 'license', validThrough);
    });
  const single = await api.read(
    { path: 'artifactory/api/system/license', operation: 'license', accept },
    license,
  );
  return credentialOf(context, 'license', single?.validThrough);
}

async function readCertificates(api: Api, context: CollectContext): Promise<Credential[]> {
  const path = 'artifactory/api/system/security/certificates';
  // Not in the editions without a licence.
  const all = await api.read({ path, operation: 'certificates', accept: [400, 404] }, certificates);
  return (all ?? []).flatMap(({ certificateAlias, validUntil }) =>
    credentialOf(context, `certificate/${certificateAlias}`, validUntil),
  );
}

async function readTokens(api: Api, context: CollectContext): Promise<Credential[]> {
  // Before 7.21.1 there is no such list.
  const answer = await api.read({ path: 'access/api/v1/tokens', operation: 'tokens', accept: [404] }, tokens);
  const lasting = (answer?.tokens ?? [])
    .flatMap(({ token_id: id, subject = '', description, expiry, issued_at }) => {
      if (!expiry || (issued_at && expiry - issued_at < shortestLifeSeconds)) return [];
      const owner = description || subject.replace(/^.*\/users\//, '') || id;
      return [{ id, name: `token/${owner.slice(0, 100)}`, expiresAt: expiry }];
    })
    // What has expired is no credential any more.
    .filter(({ expiresAt }) => expiresAt > context.now())
    .sort((a, b) => a.expiresAt - b.expiresAt || (a.id < b.id ? -1 : 1));
  if (lasting.length > tokensAtMost)
    context.log.debug({ tokens: lasting.length }, 'only the tokens that expire first are exported');
  const kept = lasting.slice(0, tokensAtMost);
  return kept.map(({ id, name, expiresAt }) => ({
    credential: kept.filter((token) => token.name === name).length > 1 ? `${name}#${id.slice(0, 8)}` : name,
    expiresAt,
  }));
}

/** Each part may fail alone. */
export async function readCredentials(
  api: Api,
  context: CollectContext,
  auth: Auth | undefined,
): Promise<readonly Credential[]> {
  const own = await ownToken(auth);
  const permission = `${administrator} for licenses and certificates, a token of a user for its tokens`;
  const reads = [readLicenses, readCertificates, readTokens];
  const parts = await Promise.all(
    reads.map((read) =>
      readPart(context, { capability: 'credentials', permission }, () => read(api, context)),
    ),
  );
  return [...(own ? [own] : []), ...parts.flatMap((part) => part ?? [])];
}
