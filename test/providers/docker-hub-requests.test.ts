import { describe, expect, test } from 'vitest';
import { extrasOf } from '../simulators/docker-hub-estate.ts';
import { createEstate, type Estate } from '../simulators/estate.ts';
import { addRepository, emptyEstate, hubs } from '../support/docker-hub-running.ts';

/** What is asked of Docker Hub, with which credentials, and what is made of its refusals. */
const { start } = hubs();

const many = (count: number): Estate =>
  emptyEstate(...Array.from({ length: count }, (_, number) => `app-${String(number).padStart(4, '0')}`));
const tags = (count: number) =>
  Array.from({ length: count }, (_, number) => ({
    name: `v${number}`,
    digest: `sha256:${number}`,
    images: [],
  }));
const failures = async (hub: Awaited<ReturnType<typeof start>>) =>
  (await hub.running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'));
const capability = async (hub: Awaited<ReturnType<typeof start>>, name: string) =>
  (await hub.running.lines('capability_up')).find((line) => line.includes(`"${name}"`))?.slice(-1);

describe('the cost of a poll', () => {
  test('a page per 100 repositories, one list of tags each, and two requests for the pull limit', async () => {
    const hub = await start({ estate: many(150) });
    // The rules of tags are looked at in 60 repositories per poll, and then for 6 hours not again.
    const first = {
      login: 1,
      manifest_head: 1,
      registry_token: 1,
      repositories: 2,
      repository: 60,
      tags: 150,
    };
    expect(await hub.cost()).toEqual(first);
    const { login: _, ...later } = first;
    expect(await hub.cost()).toEqual(later);
    expect(await hub.cost()).toEqual({ ...later, repository: 30 });
    const { repository: __, ...steady } = later;
    expect(await hub.cost()).toEqual(steady);
    expect(await hub.running.lines('repository_practice')).toHaveLength(150 * 4);
  });

  test('a page per 100 tags', async () => {
    const hub = await start({ estate: emptyEstate('app') });
    hub.simulator.tags.set('acme/app', tags(250));
    expect(await hub.cost()).toMatchObject({ repositories: 1, tags: 3 });
    expect(await hub.running.lines('repository_tags')).toEqual([
      'repository_tags{repository="acme/app"} 250',
    ]);
  });

  test('repositories that the configuration leaves out are not read', async () => {
    const hub = await start({ estate: many(10) }, { repositories: { exclude: ['acme/app-000[0-7]'] } });
    expect(await hub.cost()).toMatchObject({ tags: 2 });
    expect(await hub.running.value('repositories')).toBe(2);
    expect(await hub.running.lines('project_repositories')).toEqual([
      'project_repositories{project="acme"} 10',
    ]);
  });

  test('one login until the bearer token expires; a new secret is a new login', async () => {
    // Used for half of its life: long enough that two polls fit in on a busy machine.
    const hub = await start({ estate: many(1), tokenSeconds: 20 });
    expect(await hub.cost()).toMatchObject({ login: 1 });
    expect((await hub.cost())['login']).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 10_100));
    expect(await hub.cost()).toMatchObject({ login: 1 });
  });

  test('a token that is revoked in the middle is renewed once, however many requests notice', async () => {
    const hub = await start({ estate: many(20) });
    hub.simulator.afterPage = (operation) => {
      if (operation === 'repositories') hub.simulator.expireTokens();
    };
    expect(await hub.cost()).toMatchObject({ login: 2 });
    expect(await failures(hub)).toEqual([]);
  });
});

describe('numbered pages move while they are read', () => {
  const names = async (hub: Awaited<ReturnType<typeof start>>) =>
    (await hub.running.lines('repository_tags')).map((line) => /"(.*)"/.exec(line)?.[1]);

  test('a repository that is deleted makes no other one vanish', async () => {
    const estate = many(9);
    const hub = await start({ estate, pageSize: 3 });
    await hub.running.poll();
    hub.simulator.afterPage = (operation, page) => {
      if (operation === 'repositories' && page === 1) estate.repositories.delete('app-0000');
    };
    await hub.running.poll();
    expect(await failures(hub)).toEqual([]);
    expect(await names(hub)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((number) => `acme/app-000${number}`));
    expect(await hub.running.value('repositories')).toBe(8);
    expect(await hub.running.lines('project_repositories')).toEqual([
      'project_repositories{project="acme"} 8',
    ]);
  });

  test('the last page may be gone by the time it is asked for', async () => {
    const estate = many(4);
    const hub = await start({ estate, pageSize: 3 });
    hub.simulator.afterPage = (operation, page) => {
      if (operation === 'repositories' && page === 1) estate.repositories.delete('app-0001');
    };
    await hub.running.poll();
    expect(await failures(hub)).toEqual([]);
    expect(await names(hub)).toEqual([0, 2, 3].map((number) => `acme/app-000${number}`));
  });

  test.each([
    ['pushed again, so that it comes first', (all: { name: string }[]) => [all.at(-1), ...all.slice(0, -1)]],
    ['deleted', (all: { name: string }[]) => all.slice(1)],
    ['new', (all: { name: string }[]) => [{ name: 'new', digest: 'sha256:new', images: [] }, ...all]],
  ])('a tag that is %s hides no other tag', async (_title, change) => {
    const hub = await start({ estate: emptyEstate('app'), pageSize: 3 });
    const before = tags(9);
    const after = change(before) as { name: string }[];
    hub.simulator.tags.set('acme/app', before);
    hub.simulator.afterPage = (operation, page) => {
      if (operation === 'tags' && page === 2) hub.simulator.tags.set('acme/app', after);
    };
    await hub.running.poll();
    expect(await hub.running.value('repository_tags')).toBe(after.length);
  });
});

describe('a listing that counts more than it shows, at each reading', () => {
  test('of tags: the number of tags and images is unknown, and said once', async () => {
    const hub = await start({ estate: emptyEstate('app'), counts: { tags: 60 } });
    hub.simulator.tags.set('acme/app', tags(25));
    for (let polls = 0; polls < 2; polls += 1) await hub.running.poll();
    expect(await failures(hub)).toEqual([]);
    expect(await hub.running.lines('repository_tags', 'repository_images')).toEqual([]);
    const said = hub.warnings().filter((line) => /counts more tags.*missing=35/.test(line));
    expect(said).toHaveLength(1);
  });

  test('of repositories: those that are shown are read, and their number is unknown', async () => {
    const hub = await start({ estate: many(3), counts: { repositories: 7 } });
    await hub.running.poll();
    expect(await hub.running.lines('repository_tags')).toHaveLength(3);
    expect(await hub.running.lines('project_repositories', 'storage_bytes')).toEqual([]);
    expect(await failures(hub)).toEqual(['poll_failures_total{reason="partial"} 1']);
    expect(hub.warnings().join()).toContain('counts 4 more repositories of acme than it lists');
  });
});

test('a web page that refuses is no word of Docker Hub about credentials', async () => {
  const hub = await start({ estate: many(2) });
  const body = '<!DOCTYPE html><title>Attention Required! | Cloudflare</title>';
  hub.simulator.faults.push({
    fault: { type: 'status', status: 403, body, contentType: 'text/html' },
    operation: 'tags',
  });
  await hub.running.poll();
  expect(hub.warnings().concat(hub.running.log()).join()).toContain('a proxy or firewall in between refuses');
  expect(hub.running.log()).not.toContain('lacks a permission');
});

describe('links to next pages', () => {
  test("Docker Hub's own address is read at the endpoint, which may be a proxy", async () => {
    const hub = await start({ estate: many(5), pageSize: 2, nextOrigin: 'https://hub.docker.com' });
    await hub.running.poll();
    expect(await hub.running.value('repositories')).toBe(5);
  });

  test('of another address only the query is used: it never leads elsewhere', async () => {
    const hub = await start({ estate: many(5), pageSize: 2, nextOrigin: 'http://127.0.0.2:9' });
    await hub.running.poll();
    expect(await failures(hub)).toEqual([]);
    expect(await hub.running.value('repositories')).toBe(5);
  });
});

describe('the limit of the API is heeded', () => {
  test.each(['retry-after', 'x-retry-after', 'reset-only'] as const)('as %s tells it', async (says) => {
    const hub = await start({ estate: many(10), apiLimit: { perMinute: 15, windowMs: 1_500, says } });
    await hub.running.poll();
    expect(await failures(hub)).toEqual([]);
    expect(await hub.running.value('repositories')).toBe(10);
    const refused = Object.entries(await hub.running.requests())
      .filter(([key]) => key.endsWith(' 429'))
      .reduce((sum, [, count]) => sum + count, 0);
    // Those that were on their way, per window; not one after the other until the window ends.
    expect(refused).toBeLessThan(15);
  });
});

describe('an organisation access token', () => {
  const all = ['scope-repository-list', 'scope-repository-read', 'scope-tag-read'];
  const estate = () => createEstate({ seed: 3, repositories: 8, now: 1_795_000_000 });
  const hidden = /lists public repositories only.*scope-repository-list/;

  test('with its scopes sees everything', async () => {
    const hub = await start({ estate: estate(), scopes: all });
    await hub.running.poll();
    expect(await hub.running.value('repositories')).toBe(8);
    expect(await capability(hub, 'repositories')).toBe('1');
    expect(hub.warnings()).toEqual([]);
  });

  test('without the scope to list is silently shown public repositories: noticed, and said once', async () => {
    const hub = await start({ estate: estate(), scopes: all.slice(1) });
    await hub.running.poll();
    await hub.running.poll();
    expect(await hub.running.value('up')).toBe(1);
    expect(await capability(hub, 'repositories')).toBe('0');
    expect(hub.warnings().filter((line) => hidden.test(line))).toHaveLength(1);
    // Sums over what is seen would be too small.
    expect(await hub.running.lines('storage_bytes', 'project_repositories')).toEqual([]);
  });

  test('that does not tell its scopes and lists no private repository is doubted', async () => {
    const hub = await start({ estate: estate(), scopes: all.slice(1), tellsScopes: false });
    await hub.running.poll();
    expect(await capability(hub, 'repositories')).toBe('0');
    expect(hub.warnings().join()).toMatch(/does not say whether it hides them.*privateRepositories: false/);
  });

  test('that does not tell its scopes and lists a private repository is not', async () => {
    const hub = await start({ estate: estate(), scopes: all, tellsScopes: false });
    await hub.running.poll();
    expect(await capability(hub, 'repositories')).toBe('1');
  });

  test('is believed where the configuration says that there are no private repositories', async () => {
    const hub = await start({ estate: estate(), scopes: [] }, { privateRepositories: false });
    await hub.running.poll();
    expect(await capability(hub, 'repositories')).toBe('1');
  });

  test('that may not read the tags of some repositories leaves these as they were, and names the scope', async () => {
    const hub = await start({ estate: estate(), scopes: ['scope-repository-list', 'scope-repository-read'] });
    await hub.running.poll();
    expect(await failures(hub)).toEqual(['poll_failures_total{reason="partial"} 1']);
    expect(hub.warnings().join()).toContain("an organisation's needs scope-tag-read for the repository");
  });

  test('that may not read repositories lacks the rules of their tags, and no more', async () => {
    const hub = await start({ estate: estate(), scopes: ['scope-repository-list', 'scope-tag-read'] });
    await hub.running.poll();
    expect(await failures(hub)).toEqual([]);
    expect(await capability(hub, 'practices')).toBe('0');
    expect(hub.warnings()).toHaveLength(1);
    expect(hub.warnings().join()).toContain('scope-repository-read for the repository');
    expect(await hub.running.lines('repository_tags')).toHaveLength(8);
  });
});

test('a personal token that reads public repositories only is told, where it tells its scopes', async () => {
  const estate = createEstate({ seed: 3, repositories: 2, now: 1_795_000_000 });
  const hub = await start({ estate, namespace: 'ci', scopes: ['repo:public_read'] });
  await hub.running.poll();
  expect(await capability(hub, 'repositories')).toBe('0');
  expect(hub.warnings().join()).toContain('lists');
});

test('a token server of before 2024 is asked in its way', async () => {
  const hub = await start({ estate: many(2), legacyLogin: true });
  expect(await hub.cost()).toMatchObject({ login: 2 });
  expect(await hub.running.value('repositories')).toBe(2);
});

describe('without credentials', () => {
  test('public repositories are read, of which there may be none', async () => {
    const estate = createEstate({ seed: 3, repositories: 8, now: 1_795_000_000 });
    const hub = await start({ estate }, { auth: undefined });
    await hub.running.poll();
    expect(await hub.running.value('up')).toBe(1);
    const practices = await hub.running.lines('repository_practice');
    expect(practices.filter((line) => line.includes('"private"')).every((line) => line.endsWith(' 0'))).toBe(
      true,
    );
    expect(await capability(hub, 'repositories')).toBe('1');
  });

  test('a listing ends after 1000 entries, which is said, and is no short list', async () => {
    const estate = many(9);
    const open = [...estate.repositories.values()].find((repository) => !extrasOf(repository).isPrivate);
    const hub = await start({ estate }, { auth: undefined });
    hub.simulator.tags.set(`acme/${open?.name}`, tags(1001));
    await hub.running.poll();
    expect(hub.warnings().join()).toContain('lists the first 1000 only: give an access token');
    expect((await hub.running.lines('repository_tags')).join()).not.toContain(`acme/${open?.name}`);
  });
});

describe('a namespace whose listing is empty', () => {
  test('a user or organisation that does not exist is an error, and no 0', async () => {
    const hub = await start({ estate: many(3) }, { namespaces: ['acmee'] });
    await hub.running.poll();
    expect(await failures(hub)).toEqual(['poll_failures_total{reason="not_found"} 1']);
    expect(await hub.running.lines('repositories', 'project_repositories')).toEqual([]);
    expect(hub.running.log()).toContain('no user or organisation acmee: check `namespaces`');
  });

  test.each([true, false])('one that exists has none (a user: %s)', async (isUser) => {
    const hub = await start({ estate: many(0), isUser });
    await hub.running.poll();
    await hub.running.poll();
    expect(await hub.running.lines('repositories', 'project_repositories')).toEqual([
      'repositories{} 0',
      'project_repositories{project="acme"} 0',
    ]);
    // What every registry says that shows nothing at first.
    expect(hub.warnings().join()).toMatch(/^.*shows no repository at all[^\n]*$/);
  });

  test('where that is not told, it is said once', async () => {
    const hub = await start({ estate: many(0) });
    hub.simulator.faults.push({ operation: 'namespace', fault: { type: 'status', status: 403 } });
    await hub.running.poll();
    await hub.running.poll();
    expect(hub.warnings().join()).toMatch(/does not tell whether it exists: check `namespaces`/);
    expect(hub.warnings().filter((line) => line.includes('namespace'))).toHaveLength(1);
  });
});

describe('several namespaces', () => {
  test('are one registry; one that is not there leaves the others as they are', async () => {
    const hub = await start({ estate: many(3) }, { namespaces: ['acme', 'nobody'] });
    await hub.running.poll();
    expect(await hub.running.value('up')).toBe(1);
    expect(await failures(hub)).toEqual(['poll_failures_total{reason="partial"} 1']);
    expect(await hub.running.lines('repository_tags')).toHaveLength(3);
    // What both have is not known.
    expect(await hub.running.lines('repositories', 'storage_bytes', 'project_repositories')).toEqual([]);
    expect(hub.warnings().join()).toMatch(/no user or organisation nobody: check `namespaces`/);
  });

  test('that are all missing fail the poll', async () => {
    const hub = await start({ estate: many(3) }, { namespaces: ['nobody', 'none'] });
    await hub.running.poll();
    expect(await failures(hub)).toEqual(['poll_failures_total{reason="not_found"} 1']);
  });
});

test('a 404 that is not of Docker Hub is no deletion', async () => {
  const hub = await start({ estate: many(3) });
  await hub.running.poll();
  const page = '<html>no such host</html>';
  hub.simulator.faults.push({
    fault: { type: 'status', status: 404, body: page, contentType: 'text/html' },
    operation: 'tags',
    repository: 'acme/app-0001',
  });
  await hub.running.poll();
  expect(await failures(hub)).toEqual(['poll_failures_total{reason="partial"} 1']);
  expect(await hub.running.lines('repository_tags')).toHaveLength(3);
});

test('a 404 of the tags alone is a repository without tags', async () => {
  const hub = await start({ estate: many(2) });
  const body = '{"message":"object not found","errinfo":{}}';
  hub.simulator.faults.push({
    fault: { type: 'status', status: 404, body },
    operation: 'tags',
    repository: 'acme/app-0001',
  });
  await hub.running.poll();
  expect(await failures(hub)).toEqual([]);
  expect(await hub.running.lines('repository_tags')).toEqual([
    'repository_tags{repository="acme/app-0000"} 0',
    'repository_tags{repository="acme/app-0001"} 0',
  ]);
});

test('a repository that was pushed to is looked at alone', async () => {
  const hub = await start({ estate: many(4) });
  await hub.running.poll();
  hub.simulator.requests.clear();
  hub.simulator.tags.set('acme/app-0002', tags(2));
  addRepository(hub.simulator.estate, 'brand-new');
  hub.simulator.tags.set('acme/brand-new', tags(1));
  for (const name of ['acme/app-0002', 'acme/brand-new', 'acme/never-was', 'other/app'])
    hub.running.loop.look(name);
  while ((await hub.running.value('repositories')) !== 5)
    await new Promise((resolve) => setTimeout(resolve, 50));
  expect(Object.fromEntries(hub.simulator.requests)).toEqual({ repository: 3, tags: 2 });
  expect(await hub.running.lines('repository_tags')).toContain(
    'repository_tags{repository="acme/app-0002"} 2',
  );
  // What the last poll learned of the registry stays.
  expect(await hub.running.lines('pull_remaining')).toHaveLength(1);
});
