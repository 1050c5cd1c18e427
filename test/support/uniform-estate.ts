import {
  createEstate,
  digestOf,
  type Estate,
  type EstateImage,
  type EstateRepository,
} from '../simulators/estate.ts';

/** Populations of which a test says what is in them. */
export const now = 1_795_000_000;

export const emptyEstate = (): Estate => createEstate({ seed: 1, repositories: 0, now });

/** A population of a known size: all images have one tag. */
export function uniformEstate(repositories: number, images: number): Estate {
  const estate = emptyEstate();
  for (let number = 0; number < repositories; number += 1) {
    const name = `team/service-${number}`;
    put(
      estate,
      name,
      ...Array.from({ length: images }, (_, at) =>
        image(`${name} ${at}`, { pushedAt: now - at, tags: [`v${at}`] }),
      ),
    );
  }
  return estate;
}

/** Puts images into a repository, which is made when it is not there. */
export function put(estate: Estate, name: string, ...images: EstateImage[]): EstateRepository {
  const repository = estate.repositories.get(name) ?? { name, createdAt: now, pulls: 0, images: new Map() };
  estate.repositories.set(name, repository);
  for (const one of images) repository.images.set(one.digest, one);
  return repository;
}

export function image(seed: string, more: Partial<EstateImage> = {}): EstateImage {
  return {
    digest: digestOf(seed),
    kind: 'image',
    tags: [seed],
    sizeBytes: 1000,
    pushedAt: now,
    scan: { status: 'none' },
    archived: false,
    inUse: 0,
    ...more,
  };
}

const noCounts = { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 };
export const scanned = (counts: Partial<typeof noCounts> = {}, fixable: Partial<typeof noCounts> = {}) => ({
  scan: {
    status: 'complete' as const,
    at: now + 60,
    counts: { ...noCounts, ...counts },
    fixable: { ...noCounts, ...fixable },
  },
});
