import type { Request } from 'express';
import type { OAuth2Client } from 'google-auth-library';
import { createHttpClient } from '../http.ts';
import type { OidcSender } from '../loop/settings.ts';
import type { Logger } from '../provider.ts';

/**
 * Tokens that Google signs for a service account, as Pub/Sub shows them where it pushes:
 * https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
 */
export interface OidcCheck {
  /** Whether the request shows a token of the service account, made for this exporter. */
  mayEnter(request: Request, sender: OidcSender): Promise<boolean>;
}

/** Google's certificates are good for some hours; one that is not among them is asked for again, so often at most. */
const askedAgainMs = 60_000;
const keptAtMostMs = 24 * 3_600_000;
/** Google's two ways of writing its name. */
const issuers = ['https://accounts.google.com', 'accounts.google.com'];
const largestToken = 8_192;

type Certificates = Readonly<Record<string, string>>;

/** When an answer has to be asked for again, by its `Cache-Control`. */
function keptMs(cacheControl: string | undefined): number {
  const seconds = Number(/max-age=(\d+)/.exec(cacheControl ?? '')?.[1] ?? 0);
  return Math.min(keptAtMostMs, Math.max(askedAgainMs, seconds * 1000));
}

async function fetchCertificates({ certificates, http }: OidcSender) {
  const client = createHttpClient({
    ...http,
    retries: 1,
    signal: AbortSignal.timeout(10_000),
    userAgent: 'container-registry-exporter',
    observe() {},
  });
  try {
    const response = await client.request({
      url: certificates,
      operation: 'certificates',
      maxBytes: 2 ** 20,
    });
    const found = JSON.parse(response.body.toString('utf8')) as Certificates;
    return { found, untilMs: performance.now() + keptMs(response.header('cache-control')) };
  } finally {
    await client.close();
  }
}

/** The certificates of each address, kept for as long as Google says. */
function createCertificates() {
  const kept = new Map<string, { found: Certificates; untilMs: number; askedMs: number }>();
  return async (
    sender: OidcSender,
    isKnown: (certificates: Certificates) => boolean,
  ): Promise<Certificates> => {
    const key = sender.certificates.href;
    const before = kept.get(key);
    const now = performance.now();
    const isGood =
      before && now < before.untilMs && (isKnown(before.found) || now - before.askedMs < askedAgainMs);
    if (isGood) return before.found;
    const { found, untilMs } = await fetchCertificates(sender);
    kept.set(key, { found, untilMs, askedMs: now });
    return found;
  };
}

/** The key that a token says it is signed with; nothing else of it is believed before its signature is checked. */
function keyOf(token: string): string | undefined {
  try {
    return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString('utf8')).kid;
  } catch {
    return undefined;
  }
}

const tokenOf = (request: Request): string | undefined =>
  /^Bearer\s+([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(request.get('authorization') ?? '')?.[1];

export function createOidcCheck(log: Logger): OidcCheck {
  const certificatesOf = createCertificates();
  let verifier: Promise<OAuth2Client> | undefined;
  const load = (): Promise<OAuth2Client> => {
    verifier ??= import('google-auth-library').then(({ OAuth2Client: Client }) => new Client());
    return verifier;
  };
  return {
    async mayEnter(request, sender) {
      const token = tokenOf(request);
      if (token === undefined || token.length > largestToken) return false;
      const kid = keyOf(token);
      if (typeof kid !== 'string') return false;
      try {
        const certificates = await certificatesOf(sender, (known) => Object.hasOwn(known, kid));
        const verified = await (await load()).verifySignedJwtWithCertsAsync(
          token,
          certificates as Record<string, string>,
          sender.audience,
          issuers,
        );
        const { email, email_verified: isVerified } = verified.getPayload() ?? {};
        return isVerified === true && email === sender.email;
      } catch (err) {
        // The token is not logged: whoever has it may send.
        log.debug({ reason: (err as Error).message.slice(0, 60) }, 'a signed token was refused');
        return false;
      }
    },
  };
}
