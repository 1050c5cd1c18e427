import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from './programs.ts';

/** A page of a real chromium, as a person has it before them. */
export interface BrowserPage {
  /** Opens an address and waits until it is loaded. */
  open(url: string): Promise<void>;
  /** The value of an expression in the page; it also works while the page's own scripts are off. */
  evaluate<T>(expression: string): Promise<T>;
  /** Text as it is seen. */
  text(): Promise<string>;
  /** A PNG of the whole page. */
  screenshot(): Promise<Buffer>;
  /** Addresses that were asked for since the page was made. */
  readonly requests: readonly string[];
  /** Messages of the console and of the content security policy. */
  readonly complaints: readonly string[];
}

export interface Browser {
  page(options?: {
    readonly scripts?: boolean;
    readonly scheme?: 'light' | 'dark';
    readonly width?: number;
  }): Promise<BrowserPage>;
  close(): Promise<void>;
}

interface Message {
  readonly id?: number;
  readonly sessionId?: string;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** Starts chromium and speaks https://chromedevtools.github.io/devtools-protocol/tot/ to it. */
export async function startBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'cre-browser-'));
  const chromium = await startProgram(
    'chromium',
    [
      '--headless',
      // There is no sandbox for root, as which containers of CI run.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      '--no-first-run',
      `--user-data-dir=${profile}`,
      '--remote-debugging-port=0',
      'about:blank',
    ],
    { waitFor: /DevTools listening on (ws:\S+)/, timeoutMs: 30_000 },
  );
  const socket = new WebSocket(chromium.match?.[1] ?? '');
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', reject, { once: true });
  });
  const waiting = new Map<number, (message: Message) => void>();
  const listeners = new Set<(message: Message) => void>();
  let last = 0;
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message;
    if (message.id === undefined) for (const listener of listeners) listener(message);
    else waiting.get(message.id)?.(message);
  });
  const send = (method: string, params: object = {}, sessionId?: string) =>
    new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
      const id = ++last;
      waiting.set(id, ({ result, error }) => {
        waiting.delete(id);
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result ?? {});
      });
      socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    });

  return {
    async page({ scripts = false, scheme = 'light', width = 1000 } = {}) {
      const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
      const attached = await send('Target.attachToTarget', { targetId, flatten: true });
      const sessionId = String(attached['sessionId']);
      const call = (method: string, params?: object) => send(method, params, sessionId);
      const requests: string[] = [];
      const complaints: string[] = [];
      let loaded = () => {};
      listeners.add(({ sessionId: of, method, params = {} }) => {
        if (of !== sessionId) return;
        if (method === 'Network.requestWillBeSent') requests.push((params['request'] as { url: string }).url);
        if (method === 'Log.entryAdded') complaints.push((params['entry'] as { text: string }).text);
        if (method === 'Page.javascriptDialogOpening') complaints.push(`dialog: ${params['message']}`);
        if (method === 'Page.loadEventFired') loaded();
      });
      for (const domain of ['Page', 'Network', 'Log', 'Runtime']) await call(`${domain}.enable`);
      await call('Emulation.setScriptExecutionDisabled', { value: !scripts });
      await call('Emulation.setEmulatedMedia', {
        features: [{ name: 'prefers-color-scheme', value: scheme }],
      });
      await call('Emulation.setDeviceMetricsOverride', {
        width,
        height: 900,
        deviceScaleFactor: 1,
        mobile: false,
      });
      const evaluate = async <T>(expression: string): Promise<T> => {
        const answer = await call('Runtime.evaluate', { expression, returnByValue: true });
        const { value, description } = answer['result'] as { value: T; description?: string };
        if (answer['exceptionDetails']) throw new Error(`${expression}: ${description}`);
        return value;
      };
      return {
        requests,
        complaints,
        async open(url) {
          const done = new Promise<void>((resolve) => (loaded = resolve));
          await call('Page.navigate', { url });
          await done;
        },
        evaluate,
        text: () => evaluate<string>('document.body.innerText'),
        async screenshot() {
          const { data } = await call('Page.captureScreenshot', {
            format: 'png',
            captureBeyondViewport: true,
          });
          return Buffer.from(String(data), 'base64');
        },
      };
    },
    async close() {
      socket.close();
      await chromium.stop();
      // Its helpers may still write for a moment.
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}
