import type { Request } from 'express';
import type { OAuth2Client } from 'google-auth-library';
import { z } from 'zod';
import { createHttpClient, json } from '../http.ts';
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

/** Certificates in PEM by the id of their key. */
const certificateAnswer = z.record(z.string().max(200), z.string().max(10_000));
type Certificates = z.output<typeof certificateAnswer>;

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
    const answer = json(response, certificateAnswer);
    return { found: answer, untilMs: performance.now() + keptMs(response.header('cache-control')) };
  } finally {
    await client.close();
  }
}

/** What is known of an address, and since when. */
interface Kept {
  readonly certificates: Promise<Certificates>;
  readonly askedMs: number;
  untilMs: number;
}

/**
 * The certificates of each address, kept for as long as Google says. Whoever comes may make the exporter ask for them:
 * requests share one, and the next comes a minute later at the earliest, also after a failure.
 */
function createCertificates() {
  const kept = new Map<string, Kept>();

  function ask(sender: OidcSender, before: Kept | undefined): Kept {
    const asked: Kept = {
      askedMs: performance.now(),
      untilMs: performance.now() + askedAgainMs,
      certificates: fetchCertificates(sender).then(
        ({ found: certificates, untilMs }) => {
          asked.untilMs = untilMs;
          return certificates;
        },
        // Keys that were good a moment ago still are.
        (error) => before?.certificates ?? Promise.reject(error),
      ),
    };
    asked.certificates.catch(() => {});
    kept.set(sender.certificates.href, asked);
    return asked;
  }

  return async (sender: OidcSender, kid: string): Promise<Certificates> => {
    const before = kept.get(sender.certificates.href);
    const now = performance.now();
    const isRecent = before !== undefined && now - before.askedMs < askedAgainMs;
    const current = isRecent || (before && now < before.untilMs) ? await before.certificates : undefined;
    if (current && (isRecent || Object.hasOwn(current, kid))) return current;
    return ask(sender, before).certificates;
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
        const certificates = await certificatesOf(sender, kid);
        const verified = await (await load()).verifySignedJwtWithCertsAsync(
          token,
          certificates,
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
