/** Numbers from a seed: the same seed gives the same registry (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const teams = ['checkout', 'search', 'identity', 'platform', 'mobile', 'data'];
const services = ['api', 'worker', 'web', 'cron', 'gateway', 'migrations', 'tools/cli'];

/** The name of the nth repository, as teams name them. */
export function repositoryName(number: number): string {
  const team = teams[number % teams.length] as string;
  const service = services[Math.floor(number / teams.length) % services.length] as string;
  const round = Math.floor(number / (teams.length * services.length));
  return `${team}/${service}${round > 0 ? `-${round + 1}` : ''}`;
}
