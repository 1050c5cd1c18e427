import type { ReferenceRule } from '../model.ts';

/**
 * What a container runtime says of the image of a container.
 *
 * `imageID` of a container's status has a form of each runtime, and `image` is what was asked for or what the runtime
 * calls it: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#ContainerStatus
 */
export interface RunningImage {
  /** Host and path, such as `ghcr.io/acme/api`. */
  readonly name: string;
  /** Of the manifest: an index, or one of its platforms. */
  readonly digest: string;
  /** Whether it runs under the tag `latest`, said or meant. */
  readonly latest: boolean;
}

const longest = 1_000;
const namePattern = /^[a-z0-9](?:[a-z0-9._/-]|:\d)*$/i;
const digestPattern = /^sha256:[0-9a-f]{64}$/;
/** Docker's hub has several names, and images without a host are its own. */
const hubNames: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** A host as names are compared: without the usual ports, and Docker's hub by one name. */
export function canonicalHost(host: string): string {
  const plain = host.toLowerCase().replace(/:(443|80)$/, '');
  return hubNames.has(plain) ? 'docker.io' : plain;
}

/** A name with its host, as Docker completes it: `nginx` is `docker.io/library/nginx`. */
function withHost(name: string): string {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = first === 'localhost' || /[.:]/.test(first);
  const host = isHost ? canonicalHost(first) : 'docker.io';
  const path = isHost ? name.slice(slash + 1) : name;
  return host === 'docker.io' && !path.includes('/') ? `docker.io/library/${path}` : `${host}/${path}`;
}

/** A reference without its digest: the name, and the tag where there is one. */
function splitTag(reference: string): { readonly name: string; readonly tag: string | undefined } {
  const colon = reference.lastIndexOf(':');
  return colon > reference.lastIndexOf('/')
    ? { name: reference.slice(0, colon), tag: reference.slice(colon + 1) }
    : { name: reference, tag: undefined };
}

/** `NAME@DIGEST` of a text, with the name completed; undefined where it is none. */
function parsed(text: string): { readonly name: string; readonly digest: string } | undefined {
  // docker-pullable:// is of dockershim and cri-dockerd; docker:// holds the digest of a config, which names no manifest.
  const bare = text.replace(/^docker-pullable:\/\//, '');
  const at = bare.lastIndexOf('@');
  if (at <= 0 || text.length > longest) return undefined;
  const digest = bare.slice(at + 1);
  const { name } = splitTag(bare.slice(0, at));
  return digestPattern.test(digest) && namePattern.test(name) ? { name: withHost(name), digest } : undefined;
}

/**
 * The image of a container, by the digest that its registry knows it by.
 * @param imageId such as `docker-pullable://ghcr.io/acme/api@sha256:…`; of an image that was never pulled a bare
 * `sha256:…` of its config, which leads nowhere
 * @param image what was asked for: its digest counts where the runtime names none, and its tag is what it runs under
 * @returns undefined where nothing names a manifest
 */
export function runningImage(imageId: string, image: string): RunningImage | undefined {
  const reference = parsed(imageId) ?? parsed(image);
  if (!reference) return undefined;
  const { tag } = splitTag(image.split('@')[0] ?? '');
  // A runtime may repeat the id where it no longer knows what was asked for.
  const isAsked = image !== '' && !/^(sha256:)?[0-9a-f]{64}$/.test(image);
  return {
    ...reference,
    latest: isAsked && (tag === 'latest' || (tag === undefined && !image.includes('@'))),
  };
}

/** The repository that a rule makes of an image's name; undefined where the rule is not about it. */
export function repositoryOf({ from, to }: ReferenceRule, name: string): string | undefined {
  if (!name.startsWith(from) || name[from.length] !== '/') return undefined;
  const rest = name.slice(from.length + 1);
  return to === '' ? rest : `${to}/${rest}`;
}
