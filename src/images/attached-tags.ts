import type { Kind } from '../model.ts';

/** A tag that says what something is attached to, and is no version of an image. */
export interface AttachedTag {
  readonly tag: string;
  /** A digest; of one of SHA-512 the beginning, since no tag has room for more. */
  readonly subject: string;
  /** From cosign's suffix; absent for the referrers tag schema, whose tag names an index of referrers. */
  readonly kind?: Kind;
}

const suffixes: Readonly<Record<string, Kind>> = { sig: 'signature', att: 'attestation', sbom: 'sbom' };

/**
 * Whether a tag is made of the digest that it names, as oc-mirror tags what it mirrors by digest. Nothing is attached to
 * itself: it is an image. https://github.com/openshift/oc-mirror/pull/981
 */
export const namesItself = ({ subject, kind }: AttachedTag, digest: string | undefined): boolean =>
  kind === undefined && isSubject(subject, digest);

/** Whether a tag's subject is such a digest. */
export const isSubject = (subject: string, digest: string | undefined): boolean =>
  digest?.slice(0, subject.length) === subject;

/**
 * Parts the tags of images from those that attach something.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema and
 * https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
 * @param digest what they name, where that is known already
 */
export function splitTags(
  tags: readonly string[],
  digest?: string,
): { imageTags: string[]; attachedTags: AttachedTag[] } {
  const imageTags: string[] = [];
  const attachedTags: AttachedTag[] = [];
  for (const tag of tags) {
    const [, algorithm, hex, suffix] =
      /^(sha256|sha512)-([0-9a-f]{64})(?:\.(sig|att|sbom))?$/.exec(tag) ?? [];
    const attached = { tag, subject: `${algorithm}:${hex}`, kind: suffixes[suffix ?? ''] };
    if (hex === undefined || namesItself(attached, digest)) imageTags.push(tag);
    else attachedTags.push(attached);
  }
  return { imageTags, attachedTags };
}
