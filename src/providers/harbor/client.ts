import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { type HttpClient, type HttpResponse, json, shaped, shown } from '../../http.ts';
import type { Session } from '../../provider.ts';
import type { Auth } from '../../registry-auth.ts';
import { basicHeader, credentialsOf } from '../../registry-auth.ts';
import { count, expected, leading } from '../../wire.ts';
import { elementsIn, type List, type Page, readList, readPages, refuseUncounted, totalOf } from './lists.ts';

/** A question to Harbor's API. */
export interface Question {
  /** The word that requests are counted by. */
  readonly operation: string;
  /** Below `/api/v2.0`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
}

/**
 * Harbor's API, read only:
 * https://github.com/goharbor/harbor/blob/main/api/v2.0/swagger.yaml
 */
export interface Harbor {
  /** Whether there are credentials. */
  readonly authenticates: boolean;
  /** The name of the account that reads; empty without one. */
  account(): Promise<string>;
  get<Schema extends z.ZodType>(question: Question, schema: Schema): Promise<z.infer<Schema>>;
  /** A list page by page. */
  pages<Schema extends z.ZodType>(question: Question, item: Schema): AsyncGenerator<Page<z.infer<Schema>>>;
  /** A whole list. An item that is listed twice, because the list moved while it was read, counts once. */
  all<Schema extends z.ZodType>(
    question: Question,
    item: Schema,
    keyOf: (item: z.infer<Schema>) => unknown,
  ): Promise<List<z.infer<Schema>>>;
  /** The beginning of a list that is in an order of its own, up to an element that cannot be understood. */
  first<Schema extends z.ZodType>(question: Question, item: Schema): Promise<z.infer<Schema>[]>;
  /** How many items a list holds, without reading it; undefined where the answer does not tell. */
  count(question: Question): Promise<number | undefined>;
  /** Whether a service that Harbor asks in its turn answers. */
  works(question: Question): Promise<boolean>;
  /**
   * Who reads.
   * @throws CollectError `auth` when Harbor does not accept the credentials
   */
  whoAmI(): Promise<Caller>;
}

export interface Caller {
  /** Whether it is an account that is no user. */
  readonly robot: boolean;
  /** Whether it is a user for sure. */
  readonly user?: true;
  /** Whether it is the account that every installation has: user 1, `admin`. */
  readonly builtInAdmin?: boolean;
}

/** Harbor decodes the name of a repository in a path once more than its router does. */
export const repositoryPath = (project: string, repository: string): string =>
  `${projectPath(project)}/repositories/${encodeURIComponent(encodeURIComponent(repository))}`;

export const projectPath = (project: string): string => `/projects/${encodeURIComponent(project)}`;

/** Media types of scan reports, the better one first. https://github.com/goharbor/pluggable-scanner-spec */
export const reportTypes = [
  'application/vnd.security.vulnerability.report; version=1.1',
  'application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0',
] as const;

/** Enough to find the newest run that ended, and the newest that succeeded. */
const firstOnes = 10;

const user = z.object({ user_id: expected('user_id', count) });

/**
 * Harbor begins a session in its Redis for each request that shows no cookie of one, so the first cookie is kept. It is
 * no credential here: each request carries those. https://github.com/goharbor/harbor/blob/main/src/core/main.go
 */
function createCookie(session: Session) {
  const kept = session.keep<{ sid?: string }>('harbor cookie', () => ({}));
  return {
    header: (): Record<string, string> => (kept.sid === undefined ? {} : { cookie: `sid=${kept.sid}` }),
    take(response: HttpResponse): void {
      for (const line of response.headerLines('set-cookie'))
        kept.sid = /^sid=([\w.~-]{1,256})(?:;|$)/.exec(line)?.[1] ?? kept.sid;
    },
  };
}

export interface HarborOptions {
  readonly http: HttpClient;
  readonly session: Session;
  readonly endpoint: URL;
  readonly auth: Auth | undefined;
  readonly pageSize: number;
}

/** Sends requests with the credentials, the session's cookie and the headers that Harbor needs. */
function createRequest({ http, session, endpoint, auth }: HarborOptions) {
  const base = endpoint.href.replace(/\/+$/, '').replace(/\/api\/v2\.0$/, '');
  const credentials = credentialsOf(auth, endpoint);
  const cookie = createCookie(session);

  async function authorization(): Promise<Record<string, string>> {
    const shown = await credentials();
    if (!shown) return {};
    if ('token' in shown) return { authorization: `Bearer ${shown.token}` };
    if ('username' in shown) return { authorization: basicHeader(shown) };
    throw new CollectError('auth', 'Harbor takes a user or robot account with its password or secret');
  }

  return {
    credentials,
    /** @param accept statuses besides 2xx that are returned */
    async request({ operation, path, query }: Question, accept: readonly number[] = []) {
      const url = new URL(`${base}/api/v2.0${path}`);
      for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
      const response = await http.request({
        url,
        operation,
        accept,
        headers: {
          accept: 'application/json',
          // A project may be named like a number, which Harbor would otherwise take for an id.
          'x-is-resource-name': 'true',
          'x-accept-vulnerabilities': reportTypes.join(', '),
          ...cookie.header(),
          ...(await authorization()),
        },
      });
      // The cookies of another server, where Harbor redirects to one, are not shown to Harbor.
      if (!response.stranger) cookie.take(response);
      return response;
    },
  };
}

export function createHarbor(options: HarborOptions): Harbor {
  const { auth, pageSize } = options;
  const { credentials, ...sender } = createRequest(options);
  /** Whether any list said how many items it holds: behind some proxies none does. */
  const kept = options.session.keep('harbor counts', () => ({ counted: false }));

  async function request(question: Question, accept?: readonly number[]): Promise<HttpResponse> {
    const response = await sender.request(question, accept);
    if (totalOf(response) !== undefined) kept.counted = true;
    return response;
  }
  const page = (question: Question, number: number, size: number) =>
    request({ ...question, query: { page: String(number), page_size: String(size), ...question.query } });
  const pages = <Schema extends z.ZodType>(question: Question, item: Schema, partial: boolean) =>
    readPages({
      operation: question.operation,
      pageSize,
      item,
      counted: kept.counted,
      partial,
      request: (number) => page(question, number, pageSize),
    });

  return {
    authenticates: auth !== undefined,
    async account() {
      const shown = await credentials();
      return shown && 'username' in shown ? shown.username : '';
    },
    get: async (question, schema) => json(await request(question), schema),
    pages: (question, item) => pages(question, item, false),
    all: (question, item, keyOf) => readList(() => pages(question, item, true), keyOf),
    async first(question, item) {
      const response = await page(question, 1, firstOnes);
      const elements = elementsIn(response);
      refuseUncounted(response, elements.length, kept.counted);
      const schema = leading(question.operation, item, firstOnes);
      return shaped(elements, schema, shown(response.url), response.onOddity) as z.infer<typeof item>[];
    },
    async count(question) {
      const response = await page(question, 1, 1);
      const { length } = elementsIn(response);
      const total = totalOf(response);
      return total !== undefined && total < length ? undefined : total;
    },
    // A proxy between may answer with other errors; 500 is Harbor's own.
    works: async (question) => (await request(question, [500])).status !== 500,
    async whoAmI() {
      // With wrong or expired credentials Harbor answers other requests as it would without any. This one tells: 401
      // without a user, 412 for accounts that are no users. src/server/v2.0/handler/user.go
      const question = { operation: 'current_user', path: '/users/current' };
      const response = await request(question, [403, 404, 412]);
      if (response.status === 412) return { robot: true };
      if (response.status !== 200) {
        response.onOddity?.({ at: 'the user', problem: `status ${response.status}: who reads is unknown` });
        return { robot: false };
      }
      const { user_id } = json(response, user);
      return { robot: false, user: true, builtInAdmin: user_id === undefined ? undefined : user_id === 1 };
    },
  };
}
