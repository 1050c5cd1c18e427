import type { Kind } from '../model.ts';

/** A tag that says what something is attached to, and is no version of an image. */
export interface AttachedTag {
  readonly tag: string;
  readonly subject: string;
  /** From cosign's suffix; absent for the referrers tag schema, whose tag names an index of referrers. */
  readonly kind?: Kind;
}

const suffixes: Readonly<Record<string, Kind>> = { sig: 'signature', att: 'attestation', sbom: 'sbom' };

/**
 * Parts the tags of images from those that attach something.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema and
 * https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
 */
export function splitTags(tags: readonly string[]): { imageTags: string[]; attachedTags: AttachedTag[] } {
  const imageTags: string[] = [];
  const attachedTags: AttachedTag[] = [];
  for (const tag of tags) {
    const [, hex, suffix] = /^sha256-([0-9a-f]{64})(?:\.(sig|att|sbom))?$/.exec(tag) ?? [];
    const kind = suffixes[suffix ?? ''];
    if (hex === undefined) imageTags.push(tag);
    else attachedTags.push({ tag, subject: `sha256:${hex}`, kind });
  }
  return { imageTags, attachedTags };
}
