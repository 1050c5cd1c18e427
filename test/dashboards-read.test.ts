import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dashboards } from '../grafana/index.ts';
import { asRead } from './support/dashboards.ts';
import { type Read, type ReadPanel, readBoard } from './support/grafana.ts';
import { type Situation, scrapeInterval, situations } from './support/grafana-fleet.ts';
import { openMetrics, seriesWithout } from './support/grafana-history.ts';
import { startFleetPrometheus } from './support/grafana-prometheus.ts';
import { programs } from './support/programs.ts';

/**
 * What a person reads on the boards: evaluated by Grafana's own code over the answers of a real Prometheus, while all is
 * well, while one registry is down, and while the exporter is.
 */
type Source = Awaited<ReturnType<typeof startFleetPrometheus>>;

test('the made-up fleet has a series of every metric of the table', () => {
  expect(seriesWithout(openMetrics())).toEqual([]);
});

describe.skipIf(!programs('prometheus', 'promtool'))('what a person reads', () => {
  let source: Source;
  const boards = new Map<string, Promise<ReadPanel[]>>();
  beforeAll(async () => {
    source = await startFleetPrometheus();
  });
  afterAll(() => source?.stop());

  /** What is chosen where a board is of one registry or repository. */
  const choices: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    registry: { registry: 'harbor-eu' },
    'registry gar-europe': { registry: 'gar-europe' },
    repository: { registry: 'harbor-eu', repository: 'mobile/api' },
  };
  /** A board in a situation; each is evaluated once. */
  const board = (name: string, situation: Situation): Promise<ReadPanel[]> => {
    const key = `${name} ${situation}`;
    const json = dashboards.get(`${name.split(' ')[0]}.json`);
    if (!json) throw new Error(`no board ${name}`);
    const to = situations[situation];
    const read =
      boards.get(key) ??
      readBoard(
        asRead(json),
        { source, span: { from: to - 24 * 3600, to }, scrapeInterval },
        choices[name] ?? {},
      );
    boards.set(key, read);
    return read;
  };
  const panel = async (name: string, situation: Situation, title: string): Promise<Read> => {
    const found = (await board(name, situation)).find((one) => one.panel.title === title);
    if (!found) throw new Error(`no panel ${title} on ${name}`);
    return found.read;
  };
  /** Numbers as text with the meaning of their colour, by their names where there are several. */
  const stat = async (name: string, situation: Situation, title: string): Promise<string> => {
    const read = await panel(name, situation, title);
    if (read.kind !== 'stat') throw new Error(`${title} is no stat`);
    const { values } = read;
    const named = values.length > 1 || title === 'Failed polls, last hour';
    return values
      .map(({ name: one, text, colour }) => `${named && one ? `${one} ` : ''}${text} (${colour})`)
      .join(', ');
  };
  /** Rows of a table as text; cells that are coloured name their colour. */
  const rows = async (
    name: string,
    situation: Situation,
    title: string,
    columns?: readonly string[],
  ): Promise<string[]> => {
    const read = await panel(name, situation, title);
    if (read.kind !== 'table') throw new Error(`${title} is no table`);
    const at = columns
      ? columns.map((column) => read.columns.indexOf(column))
      : read.columns.map((_, index) => index);
    return read.rows.map((row) =>
      at
        .map((index) =>
          row[index]
            ? `${row[index].text}${row[index].colour === 'text' ? '' : ` (${row[index].colour})`}`
            : '',
        )
        .join(' | '),
    );
  };
  const legend = async (name: string, situation: Situation, title: string): Promise<string[]> => {
    const read = await panel(name, situation, title);
    if (read.kind !== 'lines') throw new Error(`${title} is no graph`);
    return read.lines.map((line) => `${line.name}: ${line.text}`);
  };

  describe('Fleet, all is well', () => {
    test.each([
      ['Exporter', 'Up (green)'],
      ['Registries up', '6 (text)'],
      ['Registries down', '0 (green)'],
      ['Never polled', '0 (green)'],
      ['Late data', '0 (green)'],
      ['Dropped series', '1,200 (yellow)'],
      ['Failing capabilities', '1 (red)'],
      ['Critical findings', 'all 29 (red), fixable 11 (red)'],
      ['Failed pushes, last day', '17 (red)'],
      ['Fullest quota', '95.1% (red)'],
      ['Credential expires in', '5 days (red)'],
      ['Replications that fail', '1 (red)'],
      ['Components and tasks that fail', '1 (red)'],
    ])('%s: %s', async (title, text) => {
      expect(await stat('fleet', 'healthy', title)).toBe(text);
    });

    test('the alerts that fire, and what changed since yesterday', async () => {
      expect(await rows('fleet', 'healthy', 'Firing alerts')).toHaveLength(5);
      expect(await rows('fleet', 'healthy', 'Since yesterday')).toEqual([
        'Registries | 6 | 6 | 0',
        'Repositories | 120 | 120 | 0',
        'Critical findings | 29 | 29 | 0',
        'Stored as registries account it, GiB | 1,359 | 1,323 | 36',
        'Series that are dropped | 1,200 | 1,200 | 0',
        'Failing capabilities | 1 | 1 | 0',
      ]);
    });
  });

  describe('Fleet, one registry is down, one was never polled, and the poll of one hangs', () => {
    test('they stand first, with their age and the reason; what is not known has no zero', async () => {
      const columns = [
        'Registry',
        'State',
        'Since last success',
        'Failed in a row',
        'Reason',
        'Failing capabilities',
        'Repositories',
        'Critical findings',
      ];
      expect(await rows('fleet', 'registryDown', 'Registries', columns)).toEqual([
        'acr-new | Never polled (purple) | – | – (purple) | – | – (purple) | – | – (purple)',
        'harbor-eu | Down (red) | 1.02 hours | 12 (red) | auth | 0 (green) | 20 | 3 (red)',
        'hub | Late (yellow) | 1.02 hours | 0 (green) | – | 0 (green) | 20 | – (purple)',
        'edge | Up (green) | 2.67 mins | 0 (green) | – | 0 (green) | 20 | 6 (red)',
        'gar-europe | Up (green) | 2.33 mins | 0 (green) | – | 1 (red) | 20 | 5 (red)',
        'ecr-eu-west-1 | Up (green) | 1.33 mins | 0 (green) | partial | 0 (green) | 20 | 2 (red)',
        'ecr-us-east-1 | Up (green) | 1 min | 0 (green) | – | 0 (green) | 20 | 13 (red)',
      ]);
      expect(await stat('fleet', 'registryDown', 'Registries down')).toBe('1 (red)');
      expect(await stat('fleet', 'registryDown', 'Never polled')).toBe('1 (red)');
      expect(await stat('fleet', 'registryDown', 'Late data')).toBe('2 (yellow)');
    });

    test('alerts that need a person stand before the others', async () => {
      expect(await rows('fleet', 'registryDown', 'Firing alerts')).toEqual([
        'critical (red) | RegistryDown | harbor-eu | 1',
        'warning (yellow) | RegistryCapabilityFailing | gar-europe | 1',
        'warning (yellow) | RegistryDataStale | acr-new | 1',
      ]);
    });

    test('Registry says which error, and names the failing capability', async () => {
      expect(await stat('registry', 'registryDown', 'State')).toBe('Down (red)');
      expect(await stat('registry', 'registryDown', 'Failed polls, last hour')).toBe('auth 12 (red)');
      expect((await legend('registry', 'registryDown', 'Failed polls'))[0]).toMatch(/^harbor-eu auth: /);
      expect((await rows('registry gar-europe', 'registryDown', 'Capabilities'))[0]).toBe(
        'gar-europe | signatures | Fails (red)',
      );
    });
  });

  describe.each([...dashboards.keys()].map((file) => file.replace('.json', '')))(
    '%s, the exporter is down',
    (name) => {
      test('the exporter is shown as down, and nothing else looks well', async () => {
        expect(await stat(name, 'exporterDead', 'Exporter')).toBe('Down (red)');
        for (const {
          panel: { title },
          read,
        } of await board(name, 'exporterDead')) {
          if (read.kind === 'stat' && title !== 'Exporter')
            // What happened within the last day did happen.
            for (const { text, colour } of read.values)
              expect(`${title}: ${text} (${colour})`).toMatch(
                /: No data \(purple\)$|^(Failed (pushes|polls)|Missed events|Pushes), last (day|hour): [\d,]+ \((red|yellow|text)\)$/,
              );
          if (read.kind === 'table')
            for (const row of read.rows)
              expect(
                row.map(({ colour }) => colour),
                title,
              ).not.toContain('green');
        }
      });
    },
  );

  test('a dead exporter has one firing alert: its own', async () => {
    expect(await rows('fleet', 'exporterDead', 'Firing alerts', ['Severity', 'Alert'])).toEqual([
      'critical (red) | RegistryExporterDown',
    ]);
  });

  describe('Vulnerabilities', () => {
    test('images with critical findings stand first, although 90 others have more high ones', async () => {
      const columns = [
        'Registry',
        'Repository',
        'Tag',
        'Critical',
        'Critical fixable',
        'High',
        'High fixable',
        'In use',
        'Scan age',
      ];
      const all = await rows('vulnerabilities', 'healthy', 'Images with findings', columns);
      expect(all.slice(0, 13)).toEqual([
        'ecr-us-east-1 | search/web | v1.11.8 | 12 (red) | 6 | 117 (yellow) | 39 | 3 | 1.71 weeks (yellow)',
        'ecr-us-east-1 | search/web | v1.11.9 | 12 (red) | 6 | 117 (yellow) | 39 | 3 | 1.71 weeks (yellow)',
        'edge | mobile/api | v1.4.8 | 6 (red) | 3 | 83 (yellow) | 27 | 2 | 5 days (green)',
        'edge | mobile/api | v1.4.9 | 6 (red) | 3 | 83 (yellow) | 27 | 8 | 5 days (green)',
        'gar-europe | mobile/api | v1.4.8 | 5 (red) | – | 80 (yellow) | – | 2 | 5 days (green)',
        'gar-europe | mobile/api | v1.4.9 | 5 (red) | – | 80 (yellow) | – | 8 | 5 days (green)',
        'harbor-eu | mobile/api | v1.4.8 | 3 (red) | – | 74 (yellow) | – | 2 | 5 days (green)',
        'harbor-eu | mobile/api | v1.4.9 | 3 (red) | – | 74 (yellow) | – | 8 | 5 days (green)',
        'ecr-eu-west-1 | mobile/api | v1.4.8 | 2 (red) | 1 | 71 (yellow) | 23 | 2 | 5 days (green)',
        'ecr-eu-west-1 | mobile/api | v1.4.9 | 2 (red) | 1 | 71 (yellow) | 23 | 8 | 5 days (green)',
        'ecr-us-east-1 | mobile/api | v1.4.8 | 1 (red) | 1 | 68 (yellow) | 22 | 2 | 5 days (green)',
        'ecr-us-east-1 | mobile/api | v1.4.9 | 1 (red) | 1 | 68 (yellow) | 22 | 8 | 5 days (green)',
        expect.stringContaining(' | 0 (green) | '),
      ]);
      const [digest] = await rows('vulnerabilities', 'healthy', 'Images with findings', ['Digest']);
      expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    });

    test('repositories likewise; where the registry gives one number of fixable findings, it has a column', async () => {
      const columns = ['Registry', 'Repository', 'Critical', 'Critical fixable', 'All fixable'];
      const all = await rows('vulnerabilities', 'healthy', 'Repositories with findings', columns);
      expect(all.slice(0, 4)).toEqual([
        'ecr-us-east-1 | search/web | 12 (red) | 6 | –',
        'edge | mobile/api | 6 (red) | 3 | –',
        'gar-europe | mobile/api | 5 (red) | – | –',
        'harbor-eu | mobile/api | 3 (red) | – | 74',
      ]);
    });

    test('what was not scanned is not clean', async () => {
      expect(await stat('vulnerabilities', 'healthy', 'Images not scanned')).toBe(
        'failed 10 (yellow), never 95 (yellow)',
      );
      expect((await rows('vulnerabilities', 'healthy', 'Scan status'))[0]).toBe(
        'gar-europe | 760 | 10 (yellow) | 2 (red) | 20 | 19 (yellow)',
      );
      expect(await stat('vulnerabilities', 'healthy', 'Affected images in use')).toBe('12 (red)');
    });

    test('the graph of images by severity', async () => {
      expect(await legend('vulnerabilities', 'healthy', 'Images with Vulnerabilities')).toEqual([
        'HIGH: 1.20 K',
        'CRITICAL: 18',
      ]);
    });
  });

  describe('Images in use', () => {
    test('repositories with critical findings stand first, then what is missing', async () => {
      const columns = [
        'Registry',
        'Repository',
        'Critical',
        'Critical fixable',
        'Missing',
        'Would be deleted',
        'Not scanned',
      ];
      const all = await rows('in-use', 'healthy', 'Repositories to act on', columns);
      expect(all.slice(0, 7)).toEqual([
        'gar-europe | mobile/api | 2 (red) | – | 0 (green) | 0 (green) | 0 (green)',
        'ecr-eu-west-1 | mobile/api | 2 (red) | 2 | 0 (green) | 0 (green) | 0 (green)',
        'ecr-us-east-1 | mobile/api | 2 (red) | 2 | 0 (green) | 0 (green) | 0 (green)',
        'harbor-eu | mobile/api | 2 (red) | – | 0 (green) | 0 (green) | 0 (green)',
        'edge | mobile/api | 2 (red) | 2 | 0 (green) | 0 (green) | – (purple)',
        'ecr-eu-west-1 | checkout/web | 0 (green) | 0 | 1 (red) | 0 (green) | 0 (green)',
        expect.stringContaining(' | 0 (green) | – | 0 (green) | 1 (yellow) | 0 (green)'),
      ]);
    });

    test('what runs that nobody watches, and whether its sources work', async () => {
      expect(await stat('in-use', 'healthy', 'Sources')).toBe('Works (green)');
      expect(await rows('in-use', 'healthy', 'Images that no registry lists')).toEqual([
        'docker.io | 17',
        'quay.io | 4',
      ]);
      expect(await stat('in-use', 'healthy', 'Missing from the registry')).toBe('1 (red)');
    });

    test('while the exporter is dead, nothing is known', async () => {
      expect(await stat('in-use', 'exporterDead', 'Running with critical findings')).toMatch(/No data/);
      expect(await stat('in-use', 'exporterDead', 'Sources')).toMatch(/No data/);
    });
  });

  describe('Pushes', () => {
    test('failed ones by repository and reason, and what is silent', async () => {
      expect(await rows('pushes', 'healthy', 'Failed pushes, last day')).toEqual([
        'harbor-eu | billing/api | quota | 8',
        'edge | billing/api | quota | 8',
        // The first of its kind, whose series begins with it.
        'edge | checkout/worker | denied | 1',
      ]);
      expect(await stat('pushes', 'healthy', 'Failed pushes, last hour')).toBe('1 (yellow)');
      expect(await stat('pushes', 'healthy', 'Missed events, last day')).toBe('4 (yellow)');
      expect(await legend('pushes', 'healthy', 'Missed events by registry')).toEqual(['edge: 1']);
    });
  });

  describe('Capacity', () => {
    test('what fills, how much of it is used, and when it is full', async () => {
      expect(await rows('capacity', 'healthy', 'Storage quotas')).toEqual([
        'harbor-eu | checkout | storage | 95.1% (red) | 380 GiB | 400 GiB | 2.04 days (red)',
        'harbor-eu | – | volume | 45.2% (green) | 926 GiB | 2 TiB | 6.69 weeks (green)',
        'harbor-eu | search | storage | 30% (green) | 120 GiB | 400 GiB | not growing',
      ]);
    });

    test('what would free it: the largest repositories with their growth and what retention would remove', async () => {
      const all = await rows('capacity', 'healthy', 'Largest repositories');
      expect(all).toHaveLength(20);
      expect(all[0]).toBe('edge | platform/worker | 469 GiB (red) | 391 GiB | 117 GiB | 79 GiB');
    });

    test('pull limits', async () => {
      expect(await rows('capacity', 'healthy', 'Pull limits')).toEqual([
        'hub | 198.51.100.7 | 168 | 84% (green) | 6 hours',
      ]);
    });
  });

  test('Registry: failed pushes, credentials, replication, tasks and queues, the bad ones first', async () => {
    expect(await rows('registry', 'healthy', 'Failed pushes, last day')).toContain(
      'harbor-eu | billing/api | quota | 8',
    );
    expect(await rows('registry', 'healthy', 'Credentials')).toEqual([
      'harbor-eu | robot$ci | 5 days (red)',
      'harbor-eu | robot$deploy | 28.6 weeks (green)',
    ]);
    expect((await rows('registry', 'healthy', 'Replication'))[0]).toBe(
      'harbor-eu | dr-site | Fails (red) | 3 days (yellow) | 12 | 4 (red) | 0 | 210',
    );
    expect((await rows('registry', 'healthy', 'Tasks'))[0]).toBe(
      'harbor-eu | scan_all | Fails (red) | 1.29 weeks (red) | 14 (red) | 2,034',
    );
    expect((await rows('registry', 'healthy', 'Job queues'))[0]).toBe(
      'harbor-eu | REPLICATION | 12 | 8 hours (red) | 0 | Yes',
    );
  });

  test('Repository: its images with findings, scan, signature and size', async () => {
    expect(
      await rows('repository', 'healthy', 'Newest images', [
        'Tag',
        'Pushed',
        'Critical',
        'High',
        'Scan age',
        'Signature',
        'Size',
      ]),
    ).toEqual([
      'v1.4.9 | 1.17 days | 3 (red) | 74 (yellow) | 5 days (green) | Signed (green) | 64 MiB',
      'v1.4.8 | 2.17 days | 3 (red) | 74 (yellow) | 5 days (green) | Signed (green) | 64 MiB',
    ]);
    expect(await stat('repository', 'healthy', 'Images')).toBe('tagged 90 (text), untagged 4 (text)');
  });

  test('Exporter: its version, what a scrape takes, and the series that it dropped', async () => {
    expect(await rows('exporter', 'healthy', 'Exporters')).toEqual([
      'container-registry-exporter | 10.4.0.17:10056 | 0.10.0 | a1b2c3d | v26.10.0 | 3 hours | 180 MiB | 80 ms (green) | 12,345',
    ]);
    expect(await rows('exporter', 'healthy', 'Dropped series by registry')).toEqual([
      'ecr-us-east-1 | image_cap | 1,200 (yellow)',
    ]);
    expect(await rows('exporter', 'healthy', 'Sources of push events')).toEqual([
      'ecr-us-east-1 | sqs | Works (green) | 5 mins | 4 s',
    ]);
  });

  describe.each([...dashboards.keys()].map((file) => file.replace('.json', '')))('%s', (name) => {
    test('has data in every panel while all is well', async () => {
      const without: string[] = [];
      for (const {
        panel: { title },
        read,
      } of await board(name, 'healthy')) {
        if (read.kind === 'stat' && read.values.every(({ text }) => text === 'No data')) without.push(title);
        if (read.kind === 'table' && read.rows.length === 0) without.push(title);
        if (read.kind === 'lines' && read.lines.length === 0) without.push(title);
      }
      // Of one repository on Harbor: nobody stars it, and no push into it failed. No poll of Harbor failed either.
      const expected: Readonly<Record<string, readonly string[]>> = {
        repository: ['Failed pushes by reason, last day', 'Stars'],
        registry: ['Failed polls'],
      };
      expect(without).toEqual(expected[name] ?? []);
    });

    test('has columns with words for names, and no labels that nobody named', async () => {
      for (const {
        panel: { title },
        read,
      } of await board(name, 'healthy'))
        if (read.kind === 'table') for (const column of read.columns) expect(column, title).toMatch(/^[A-Z]/);
    });

    test('never shows more than a person reads: 60 rows of a table, 20 lines of a graph', async () => {
      for (const {
        panel: { title },
        read,
      } of await board(name, 'healthy')) {
        if (read.kind === 'table') expect(read.rows.length, title).toBeLessThanOrEqual(60);
        if (read.kind === 'lines') expect(read.lines.length, title).toBeLessThanOrEqual(20);
      }
    });

    test('every line has a name, and no two lines the same', async () => {
      for (const {
        panel: { title },
        read,
      } of await board(name, 'healthy')) {
        if (read.kind !== 'lines') continue;
        const names = read.lines.map((line) => line.name);
        expect(names, title).toEqual([...new Set(names)]);
        for (const one of names) expect(one, title).toBeTruthy();
      }
    });
  });
});
