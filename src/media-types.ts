import type { Kind } from './model.ts';

/** What media types and annotations of manifests tell of their kind, whoever stores them. */

/** Configurations of images that run. */
export const imageConfigs = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);

/** A list of platforms, OCI's and Docker's. */
export const indexTypes: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]);

/**
 * The kind that one media type stands for, or undefined where it says nothing. Types as of:
 * https://helm.sh/docs/topics/registries/ (chart), https://github.com/notaryproject/specifications (notation),
 * https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md (cosign),
 * https://docs.docker.com/build/metadata/attestations/attestation-storage/ (buildx),
 * https://spdx.dev and https://cyclonedx.org media types as registered with IANA.
 */
export function kindOfType(type: string): Kind | undefined {
  if (type === 'application/vnd.cncf.helm.config.v1+json') return 'chart';
  if (type === 'application/vnd.cncf.notary.signature') return 'signature';
  if (/^application\/vnd\.dev\.cosign\.(artifact\.sig|simplesigning)\b/.test(type)) return 'signature';
  if (/spdx|cyclonedx|\bsyft\b|cosign\.artifact\.sbom/.test(type)) return 'sbom';
  if (/in-toto|sigstore\.bundle|dsse\.envelope|sarif|docker\.attestation/.test(type)) return 'attestation';
  return undefined;
}

type Annotations = Readonly<Record<string, string>> | null | undefined;

/** What an attestation says, as a type, from its annotations. */
export function predicateOf(notes: Annotations): string {
  return (
    notes?.['dev.sigstore.bundle.predicateType'] ??
    notes?.['in-toto.io/predicate-type'] ??
    notes?.['predicateType'] ??
    ''
  );
}

/** Whether a Sigstore bundle is a signature: cosign 3 signs with a bundle, whose media type attestations share. */
export const isSigningBundle = (notes: Annotations): boolean =>
  notes?.['dev.sigstore.bundle.content'] === 'message-signature' ||
  predicateOf(notes) === 'https://sigstore.dev/cosign/sign/v1';
