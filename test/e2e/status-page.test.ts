import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OciSimulator, startOciSimulator } from '../simulators/oci.ts';
import { type Browser, type BrowserPage, startBrowser } from '../support/browser.ts';
import { image, layer } from '../support/oci-image.ts';
import { eventually, freePort, programs, type RunningProgram, tempDir } from '../support/programs.ts';
import { startExporter } from '../support/real-programs.ts';

/**
 * The status page in a real browser with its scripts off, in the light and in the dark: a registry that is well, one
 * that is down, one whose names and errors attack the page, and one that is being polled. `SCREENSHOTS=<folder>`
 * keeps what the browser drew.
 */
const attack = `"><img src=http://127.0.0.1:9/leak onerror=alert(1)><script>document.title='owned'</script>`;

describe.skipIf(!programs('chromium'))('the status page in a browser', () => {
  const dir = tempDir();
  const simulators: OciSimulator[] = [];
  let exporter: RunningProgram;
  let browser: Browser;
  let url: string;

  async function simulator(...names: string[]): Promise<OciSimulator> {
    const one = await startOciSimulator();
    for (const name of names) one.store.put(name, image({ layers: [layer(name)], created: 1 }), 'v1');
    simulators.push(one);
    return one;
  }
  const opened = async (options: Parameters<Browser['page']>[0]): Promise<BrowserPage> => {
    const page = await browser.page(options);
    await page.open(`${url}/`);
    return page;
  };
  const keep = async (name: string, page: BrowserPage): Promise<void> => {
    const folder = process.env['SCREENSHOTS'];
    const png = await page.screenshot();
    expect(png.length).toBeGreaterThan(5000);
    if (folder) writeFileSync(join(folder, `${name}.png`), png);
  };
  const section = (page: BrowserPage, name: string) =>
    page.evaluate<string>(
      `[...document.querySelectorAll('section')].find((one) => one.innerText.includes('${name}')).innerText`,
    );

  beforeAll(async () => {
    const [well, hostile, refusing, slow] = [
      await simulator('team/app', 'team/web'),
      await simulator('good', `team/${attack}`),
      await simulator(),
      await simulator('a', 'b', 'c', 'd'),
    ];
    hostile?.faults.push({
      operation: 'tags',
      repository: `team/${attack}`,
      fault: { type: 'status', status: 404 },
    });
    refusing?.faults.push({
      fault: {
        type: 'status',
        status: 403,
        body: JSON.stringify({ errors: [{ code: 'DENIED', message: attack }] }),
      },
    });
    slow?.faults.push({ operation: 'tags', repository: 'd', fault: { type: 'stall', at: 'before-headers' } });
    const port = await freePort();
    const nobody = await freePort();
    const registry = (name: string, endpoint: string) =>
      `  - { name: ${name}, type: oci, schedule: 10m, endpoint: "${endpoint}", http: { retries: 0, timeout: 60s } }\n`;
    const config = join(dir.path, 'exporter.yaml');
    writeFileSync(
      config,
      `registries:\n${registry('well', well?.url ?? '')}${registry('down', `http://127.0.0.1:${nobody}`)}${registry('hostile', hostile?.url ?? '')}${registry('refusing', refusing?.url ?? '')}${registry('slow', slow?.url ?? '')}`,
    );
    exporter = await startExporter({ config, port, storage: join(dir.path, 'storage') });
    url = `http://127.0.0.1:${port}`;
    browser = await startBrowser();
    await eventually(async () => {
      const { registries } = (await (await fetch(`${url}/api/v1/status`)).json()) as {
        registries: { name: string; state: string; polling?: { done: number } }[];
      };
      expect(registries.map(({ name, state }) => `${name} ${state}`)).toEqual([
        'well up',
        'down down',
        expect.stringMatching(/^hostile (up|down)$/),
        'refusing down',
        'slow waiting',
      ]);
      expect(registries.at(-1)?.polling?.done).toBe(3);
    });
  });

  afterAll(async () => {
    await browser?.close();
    await exporter?.stop();
    await Promise.all(simulators.map((one) => one.close()));
    dir.remove();
  });

  test.each(['light', 'dark'] as const)('says of each registry how it is (%s)', async (scheme) => {
    const page = await opened({ scheme });
    expect(await section(page, 'well')).toMatch(/Up.*well.*oci/s);
    expect(await section(page, 'well')).toMatch(/Data from\s.*ago/s);
    expect(await section(page, 'down')).toMatch(/Down.*connect.*ECONNREFUSED/s);
    expect(await section(page, 'refusing')).toMatch(/Down.*forbidden.*answered 403/s);
    const colours = await page.evaluate<string[]>(
      `['color', 'backgroundColor'].map((name) => getComputedStyle(document.body)[name])`,
    );
    const [text = 0, back = 0] = colours.map((one) => Number(/\d+/.exec(one)?.[0]));
    expect(text < back).toBe(scheme === 'light');
    await keep(scheme, page);
  });

  test('shows how far a running poll is', async () => {
    const page = await opened({});
    expect(await section(page, 'slow')).toMatch(/First poll pending.*Polling: 3 of 4 repositories/s);
    const bars = await page.evaluate<{ max: number; value: number; width: number }[]>(
      `[...document.querySelectorAll('progress')].map((bar) => ({ max: bar.max, value: bar.value, width: bar.getBoundingClientRect().width }))`,
    );
    expect(bars).toEqual([{ max: 4, value: 3, width: expect.any(Number) }]);
    expect(bars[0]?.width).toBeGreaterThan(100);
  });

  test.each([false, true])('hostile names and errors are text, whether scripts run: %s', async (scripts) => {
    const page = await opened({ scripts });
    expect(await page.text()).toContain('<img src=http://127.0.0.1:9/leak onerror=alert(1)>');
    expect(await page.evaluate('document.querySelectorAll("img, script, iframe, link").length')).toBe(0);
    expect(await page.evaluate('document.title')).toMatch(/Container registry exporter$/);
    expect(page.complaints).toEqual([]);
  });

  test('nothing is loaded but the page itself', async () => {
    const page = await opened({ scripts: true });
    expect(new Set(page.requests)).toEqual(new Set([`${url}/`]));
  });

  test('fits a telephone without scrolling sideways', async () => {
    const page = await opened({ width: 375 });
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(375);
    await keep('telephone', page);
  });

  test('loads itself again, and shows then that the poll has ended', async () => {
    const page = await opened({});
    await simulators.at(-1)?.close();
    await eventually(async () => {
      expect(await section(page, 'slow')).not.toContain('Polling');
    });
    expect(page.requests.length).toBeGreaterThan(1);
  });
});
