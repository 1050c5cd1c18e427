import { expect } from 'vitest';
import { eventually } from '../support/programs.ts';

/**
 * Reads the endpoints of an exporter.
 * @param url its address, asked for at each request
 * @param shared labels that every sample has, left out of the lines
 */
export function readExporter(url: () => string, shared: string) {
  const get = async (path: string): Promise<string> => {
    const response = await fetch(`${url()}${path}`);
    if (!response.ok) throw new Error(`${path} answered ${response.status}`);
    return response.text();
  };
  /** Lines of families, without prefix and shared labels. */
  const lines = async (...families: string[]): Promise<string[]> =>
    (await get('/metrics'))
      .split('\n')
      .filter((line) => families.some((family) => new RegExp(`^container_registry_${family}[{ ]`).test(line)))
      .map((line) => line.replace(/^container_registry_/, '').replace(shared, ''));
  const value = async (family: string): Promise<number | undefined> => {
    const [line] = await lines(family);
    return line === undefined ? undefined : Number(line.split(' ').at(-1));
  };
  const polls = async (): Promise<number> => (await value('polls_total')) ?? 0;
  /** Waits for a poll that began after this call. */
  const anotherPoll = async (): Promise<void> => {
    const before = await polls();
    await eventually(async () => expect(await polls()).toBeGreaterThanOrEqual(before + 2));
  };
  return { get, lines, value, polls, anotherPoll };
}

/** What an instant query of Prometheus finds. */
export async function queryPrometheus(url: string, expr: string): Promise<unknown[]> {
  const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expr)}`);
  const { data, error } = (await response.json()) as { data?: { result: unknown[] }; error?: string };
  if (!data) throw new Error(`${expr}: ${error}`);
  return data.result;
}
