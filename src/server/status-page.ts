import type { InUseStatus } from '../daemon/in-use.ts';
import type { RegistryStatus } from '../loop.ts';
import type { EntryStatus } from '../places.ts';

/** Everything the status page and `/api/v1/status` tell. */
export interface Status {
  readonly version: string;
  readonly revision: string;
  /** Unix seconds. */
  readonly startedAt: number;
  readonly now: number;
  readonly telemetryPath: string;
  readonly registries: readonly RegistryStatus[];
  /** Entries that cover several registries. */
  readonly entries: readonly EntryStatus[];
  /** Sources of what runs. */
  readonly inUse: readonly InUseStatus[];
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text as HTML text or attribute; registries' names and errors are untrusted. */
function escapeHtml(text: string): string {
  return (
    text
      .toWellFormed()
      .replace(/[&<>"']/g, (character) => entities[character] ?? character)
      // Directional overrides would let a name rewrite the line that it stands on.
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
      .replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
  );
}

/** A duration as a person says it: `42 s`, `5 min`, `3 h 10 min`, `2 d 4 h`. */
export function humanDuration(seconds: number): string {
  if (seconds > 0 && seconds < 0.05) return 'under 0.1 s';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return seconds > 0 && seconds < 10 ? `${Number(seconds.toFixed(1))} s` : `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 && minutes < 10 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

const grouped = (count: number): string => count.toLocaleString('en');

const stateWords = {
  up: 'Up',
  down: 'Down',
  stale: 'Stale',
  waiting: 'First poll pending',
} as const satisfies Record<RegistryStatus['state'], string>;

function age(at: number | undefined, now: number): string {
  if (at === undefined) return '<span class="quiet">never</span>';
  const iso = new Date(at * 1000).toISOString();
  return `<time datetime="${iso}" title="${iso}">${humanDuration(now - at)} ago</time>`;
}

function progress({ polling }: RegistryStatus, now: number): string {
  if (!polling) return '';
  const { done, total, startedAt } = polling;
  const bar =
    total > 0
      ? `<progress aria-label="Poll" max="${total}" value="${done}"></progress>`
      : '<progress aria-label="Poll"></progress>';
  const words = total > 0 ? `${grouped(done)} of ${grouped(total)} repositories` : 'listing repositories';
  return `<div class="poll">${bar}<span>Polling: ${words}, ${humanDuration(now - startedAt)}</span></div>`;
}

/** How many repositories could not be read, and whether there is data of them. */
function unreadable({ failedRepositories, failedRepositoriesWithData }: RegistryStatus): string {
  const missing = failedRepositories - failedRepositoriesWithData;
  const shown =
    missing === 0
      ? 'the last data is shown'
      : missing === failedRepositories
        ? 'there is no data to show'
        : `the last data is shown for ${grouped(failedRepositoriesWithData)}, there is none for ${grouped(missing)}`;
  return `${grouped(failedRepositories)} ${failedRepositories === 1 ? 'repository' : 'repositories'} not readable: ${shown}`;
}

/** What fails although the poll succeeded: capabilities with their reasons, and repositories. */
function partFailures(status: RegistryStatus, now: number): string {
  const { failing, failedRepositories } = status;
  const repositories = failedRepositories > 0 ? `<p class="failing">${unreadable(status)}</p>` : '';
  const capabilities = failing.map(
    ({ capability, reason, message, at }) =>
      `<li>Failing capability: <span class="reason">${escapeHtml(capability.replaceAll('_', ' '))}</span> (${escapeHtml(reason)}) ${escapeHtml(message)} <span class="quiet">for ${humanDuration(now - at)}</span></li>`,
  );
  return (
    repositories +
    (capabilities.length > 0 ? `<div class="errors"><ul>${capabilities.join('')}</ul></div>` : '')
  );
}

/** What the exporter left out of the registry's answers, and said in the log. */
function noticeList({ notices }: RegistryStatus): string {
  if (notices.length === 0) return '';
  const line = ({ message, details }: (typeof notices)[number]) =>
    `<li>${escapeHtml(message)} <span class="quiet">${escapeHtml(
      Object.entries(details)
        .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
        .join(', ')
        .slice(0, 500),
    )}</span></li>`;
  return `<details class="notices"><summary>${notices.length === 1 ? '1 notice' : `${notices.length} notices`}</summary><ul>${notices.map(line).join('')}</ul></details>`;
}

/** Whether something of the registry cannot be read, though it is up. */
const isPartlyFailing = ({ failing, failedRepositories }: RegistryStatus): boolean =>
  failing.length > 0 || failedRepositories > 0;

function errors(status: RegistryStatus, now: number): string {
  const [latest, ...older] = status.errors;
  if (!latest) return '';
  const line = (error: typeof latest) =>
    `<li><span class="reason">${escapeHtml(error.reason)}</span> ${escapeHtml(error.message)} <span class="quiet">${age(error.at, now)}</span></li>`;
  const rest =
    older.length > 0
      ? `<details><summary>${older.length} earlier</summary><ul>${older.map(line).join('')}</ul></details>`
      : '';
  return `<div class="errors"><ul>${line(latest)}</ul>${rest}</div>`;
}

function row(status: RegistryStatus, now: number): string {
  const next =
    status.nextPollAt === undefined
      ? ''
      : `<dt>Next poll</dt><dd>in ${humanDuration(Math.max(0, status.nextPollAt - now))}</dd>`;
  const duration =
    status.pollDurationSeconds === undefined
      ? ''
      : `<dt>Last poll took</dt><dd>${humanDuration(status.pollDurationSeconds)}</dd>`;
  const dropped =
    status.seriesDropped > 0
      ? ` <span class="failing">(${grouped(status.seriesDropped)} series dropped)</span>`
      : '';
  return `<section class="registry ${status.state}">
<h2><span class="badge">${stateWords[status.state]}</span> <bdi>${escapeHtml(status.name)}</bdi></h2>
<p class="where">${escapeHtml(status.type)}${status.host ? ` &middot; <bdi>${escapeHtml(status.host)}</bdi>` : ''}</p>
${status.state === 'stale' ? '<p class="failing">The data is older than allowed (staleAfter): its series are left out until a poll succeeds.</p>' : ''}
${progress(status, now)}
<dl>
<dt>Data from</dt><dd>${age(status.lastSuccessAt, now)}</dd>
<dt>Last attempt</dt><dd>${age(status.lastAttemptAt, now)}</dd>
${duration}${next}
<dt>Repositories</dt><dd>${status.repositories === undefined ? '<span class="quiet">unknown</span>' : grouped(status.repositories)}</dd>
<dt>Series</dt><dd>${grouped(status.series)}${dropped}</dd>
</dl>
${partFailures(status, now)}${noticeList(status)}${errors(status, now)}
</section>`;
}

/** The error of a search or of a reading. */
const errorList = ({ reason, message, at }: NonNullable<EntryStatus['error']>, now: number): string =>
  `<div class="errors"><ul><li><span class="reason">${escapeHtml(reason)}</span> ${escapeHtml(message)} <span class="quiet">${age(at, now)}</span></li></ul></div>`;

/** An entry that covers several registries: what is shown of it besides those. */
function entryRow({ name, type, up, registries, lastAttemptAt, error }: EntryStatus, now: number): string {
  const state = up === undefined ? 'waiting' : up ? 'up' : 'down';
  const words = { waiting: 'Looking', up: 'Found', down: 'Search failed' }[state];
  const problem = error ? errorList(error, now) : '';
  return `<section class="registry ${state}">
<h2><span class="badge">${words}</span> <bdi>${escapeHtml(name)}</bdi></h2>
<p class="where">${escapeHtml(type)} &middot; covers ${grouped(registries)} ${registries === 1 ? 'registry' : 'registries'}, looked for ${age(lastAttemptAt, now)}</p>
${problem}
</section>`;
}

/** A source of what runs. An answer that is too old no longer counts, whether the last reading worked or not. */
function sourceRow({ source, type, up, answeredAt, containers, error }: InUseStatus, now: number): string {
  const state = up === undefined ? 'waiting' : up ? (containers ? 'up' : 'stale') : 'down';
  const words = { waiting: 'First reading', up: 'Read', stale: 'Too old', down: 'Not readable' }[state];
  const unidentified = containers?.unidentified
    ? `, ${grouped(containers.unidentified)} of them of no known image`
    : '';
  const told = containers
    ? `${grouped(containers.identified + containers.unidentified)} containers${unidentified}`
    : 'nothing that counts';
  const problem = error && up === false ? errorList(error, now) : '';
  return `<section class="registry ${state}">
<h2><span class="badge">${words}</span> <bdi>${escapeHtml(source)}</bdi></h2>
<p class="where">What runs, from ${escapeHtml(type)} &middot; ${told}, ${age(answeredAt, now)}</p>
${problem}
</section>`;
}

/** Style of the page, served inline; its hash is named in the content security policy. */
export const style = `
:root{color-scheme:light dark;--text:#1c2430;--quiet:#5b6676;--back:#f5f6f8;--card:#fff;--line:#dde1e7;--up:#1a7f4b;--down:#b3261e;--stale:#9a6200;--waiting:#4a5d78}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ee;--quiet:#9aa5b4;--back:#12161c;--card:#1b212a;--line:#2d3642;--up:#4cc38a;--down:#ff8278;--stale:#f0b452;--waiting:#9db2d0}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main,header{max-width:60rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.75rem}
h1{font-size:1.35rem;margin:0}
h2{font-size:1.1rem;margin:0;overflow-wrap:anywhere}
.where{margin:.1rem 0 .6rem;color:var(--quiet);font-size:.88rem;overflow-wrap:anywhere}
.summary{margin:.25rem 0 .6rem}.failing{margin:.25rem 0 .6rem}
dl+.failing{margin-top:.75rem}
.errors,.failing{font-size:.93rem}
nav a{margin-right:1rem;color:inherit}
.quiet{color:var(--quiet);font-weight:400}
.registry{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--waiting);border-radius:6px;padding:1rem 1.25rem;margin:1rem 0}
.registry.up{border-left-color:var(--up)}.registry.down{border-left-color:var(--down)}.registry.stale{border-left-color:var(--stale)}
.badge{display:inline-block;font-size:.78rem;font-weight:600;padding:.05rem .5rem;border-radius:1rem;border:1px solid;color:var(--waiting);vertical-align:.08em;margin-right:.35rem}
.up .badge{color:var(--up)}.down .badge{color:var(--down)}.stale .badge{color:var(--stale)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.5rem 1.25rem;margin:0}
dt{grid-row:1;color:var(--quiet);font-size:.82rem}dd{grid-row:2;margin:-.4rem 0 0;font-variant-numeric:tabular-nums}
dl{grid-auto-flow:column;grid-template-columns:none;grid-auto-columns:1fr}
@media(max-width:45rem){dl{display:block}dt{display:inline-block;width:9rem}dd{display:inline}dd::after{content:"";display:block}}
.poll{display:flex;gap:.75rem;align-items:center;margin:.25rem 0 .75rem;color:var(--quiet);font-size:.9rem}
progress{width:14rem;max-width:50%;height:.6rem;accent-color:var(--up)}
.failing,.reason{color:var(--down)}.reason{font-weight:600}
.errors ul,.notices ul{margin:.75rem 0 0;padding:0;list-style:none;overflow-wrap:anywhere}
footer{max-width:60rem;margin:1.5rem auto;padding:0 1.25rem;color:var(--quiet);font-size:.85rem}
`;

/** The state of all in one line. */
function summaryOf(counts: {
  readonly registries: number;
  /** Entries that cover several registries. */
  readonly entries: number;
  /** Registries and entries that are not readable. */
  readonly down: number;
  /** Of these the entries. */
  readonly lost: number;
  readonly partly: number;
}): string {
  const { registries, entries, down, lost, partly } = counts;
  const noun = registries === 1 ? 'registry' : 'registries';
  if (registries + entries === 0) return 'The configuration is being read.';
  if (down === 0)
    return `${registries} ${noun}, ${partly === 0 ? 'none failing' : `${partly} failing in part`}`;
  if (lost > 0) return `${down} of ${registries + entries} registries and entries not readable`;
  return `${down} of ${registries} ${noun} not readable`;
}

/** The page at `/`: complete without scripts; it asks the browser to load it again every 5 seconds. */
export function statusPage(status: Status): string {
  const { registries, entries, now } = status;
  const lost = entries.filter(({ up }) => up === false).length;
  const down = registries.filter(({ state }) => state === 'down' || state === 'stale').length + lost;
  const partly = registries.filter((registry) => registry.state === 'up' && isPartlyFailing(registry)).length;
  const summary = summaryOf({ registries: registries.length, entries: entries.length, down, lost, partly });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<title>${down > 0 ? `(${down}) ` : ''}Container registry exporter</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>Container registry exporter</h1>
<p class="summary${down + partly > 0 ? ' failing' : ''}">${summary}</p>
<nav><a href="${escapeHtml(status.telemetryPath)}">Metrics</a><a href="/api/v1/status">Status as JSON</a></nav>
</header>
<main>
${entries.map((entry) => entryRow(entry, now)).join('\n')}
${registries.map((registry) => row(registry, now)).join('\n')}
${status.inUse.map((source) => sourceRow(source, now)).join('\n')}
</main>
<footer>Version ${escapeHtml(status.version)} (${escapeHtml(status.revision)}), running for ${humanDuration(now - status.startedAt)}.</footer>
</body>
</html>
`;
}
