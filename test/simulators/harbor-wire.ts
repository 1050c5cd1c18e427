import { severities } from '../../src/model.ts';
import { digestOf, type EstateImage, type EstateRepository, type EstateScan } from './estate.ts';

/**
 * An estate in Harbor's own words, after `api/v2.0/swagger.yaml` and the handlers of
 * https://github.com/goharbor/harbor
 */

const reportTypes = [
  'application/vnd.security.vulnerability.report; version=1.1',
  'application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0',
];

/** A number of the digest's own, to tell things apart without another source of chance. */
const variant = (digest: string, of: number): number => Number.parseInt(digest.slice(-6), 16) % of;

const timeText = (seconds: number | undefined): string =>
  seconds === undefined ? '0001-01-01T00:00:00.000Z' : new Date(seconds * 1000).toISOString();

/** What Harbor keeps beside an artifact and lists with it: all but images and indexes. */
export const isAccessory = ({ kind, subject }: EstateImage): boolean =>
  subject !== undefined && kind !== 'image' && kind !== 'index' && kind !== 'platform';

const pendingWords = ['Pending', 'Scheduled', 'Running'];

/** The `scan_status` of an image; undefined where there is no overview. */
function scanWord({ digest, scan }: EstateImage): string | undefined {
  if (scan.status === 'complete') return 'Success';
  if (scan.status === 'failed') return 'Error';
  if (scan.status === 'pending') return pendingWords[variant(digest, 3)];
  // A scan that somebody stopped leaves an image without a result, as one that was never scanned.
  return scan.status === 'none' && variant(digest, 4) === 0 ? 'Stopped' : undefined;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** Severities of which nothing was found are left out. */
function vulnerabilities({ counts, fixable }: EstateScan, digest: string) {
  if (!counts || !fixable) return null;
  const negligible = variant(digest, 2) === 0 ? 'Negligible' : 'None';
  const summary = Object.fromEntries(
    severities
      .filter((severity) => counts[severity] > 0)
      .map((severity) => [
        severity === 'NEGLIGIBLE' ? negligible : `${severity[0]}${severity.slice(1).toLowerCase()}`,
        counts[severity],
      ]),
  );
  return { total: sum(Object.values(counts)), fixable: sum(Object.values(fixable)), summary };
}

function report(image: EstateImage) {
  const scan_status = scanWord(image);
  if (scan_status === undefined) return undefined;
  const { scan, digest } = image;
  return {
    report_id: digest.slice(7, 43),
    scan_status,
    severity: '',
    duration: 5,
    summary: scan_status === 'Success' ? vulnerabilities(scan, digest) : null,
    start_time: timeText((scan.at ?? 0) - 5),
    end_time: timeText(scan.at ?? 0),
    complete_percent: scan_status === 'Success' ? 100 : 0,
    ...(scan_status === 'Success' && {
      scanner: { name: 'Trivy', vendor: 'Aqua Security', version: 'v0.65.0' },
    }),
  };
}
type Report = NonNullable<ReturnType<typeof report>>;

/** Reports of platforms as Harbor merges them for their index: src/pkg/scan/vuln/summary.go and util.go */
function merge(reports: readonly Report[]): Report | undefined {
  const [first] = reports;
  if (!first) return undefined;
  const words = reports.map(({ scan_status }) => scan_status);
  const scan_status =
    ['Running', 'Stopped', 'Success'].find((word) => words.includes(word)) ?? first.scan_status;
  const found = reports.flatMap(({ summary }) => summary ?? []);
  const summary: Record<string, number> = {};
  for (const one of found)
    for (const [word, count] of Object.entries(one.summary)) summary[word] = (summary[word] ?? 0) + count;
  return {
    ...first,
    scan_status,
    end_time:
      reports
        .map(({ end_time }) => end_time)
        .toSorted()
        .at(-1) ?? first.end_time,
    summary:
      scan_status === 'Running'
        ? null
        : {
            total: sum(found.map(({ total }) => total)),
            fixable: sum(found.map(({ fixable }) => fixable)),
            summary,
          },
  };
}

export interface ArtifactContext {
  readonly repository: EstateRepository;
  readonly projectId: number;
  readonly repositoryId: number;
  readonly idOf: (repository: string, digest: string) => number;
  /** False: no scanner supports anything, since none answers or none is there. */
  readonly scannable: boolean;
  /** `X-Accept-Vulnerabilities`; without one that it knows Harbor takes the older type. */
  readonly accepts: string;
  readonly flags: { readonly tag: boolean; readonly overview: boolean; readonly accessory: boolean };
  /** Since 2.12. */
  readonly namesRepository: boolean;
}

function overviewOf(image: EstateImage, context: ArtifactContext): object | undefined {
  const { repository, accepts } = context;
  const accepted = reportTypes.filter((type) => accepts.split(',').some((one) => one.trim() === type));
  if (accepted.length === 0) accepted.push(reportTypes[1] as string);
  const platforms = image.platforms?.flatMap((digest) => repository.images.get(digest) ?? []);
  const reports = (platforms ?? [image]).filter(({ scan }) => scan.status !== 'unsupported').map(report);
  // One platform without a report, and the index has none.
  const found = reports.every((one) => one !== undefined) ? merge(reports as Report[]) : undefined;
  const type = accepted[variant(image.digest, accepted.length)] as string;
  return found && { [type]: found };
}

const isScannable = (image: EstateImage, repository: EstateRepository): boolean =>
  (image.platforms ?? [image.digest]).some((digest) => {
    const scan = repository.images.get(digest)?.scan;
    return scan !== undefined && scan.status !== 'unsupported';
  });

/** What buildx attests of some images: a manifest of its own that their index lists. */
function attestationOf(image: EstateImage): EstateImage | undefined {
  if (!image.platforms || variant(image.digest, 3) !== 0) return undefined;
  return {
    digest: digestOf(`attestation ${image.digest}`),
    kind: 'attestation',
    tags: [],
    sizeBytes: 4_321,
    pushedAt: image.pushedAt,
    scan: { status: 'unsupported' },
    archived: false,
    inUse: 0,
  };
}

/** A repository with the attestations that its indexes list, each before its index. */
export function asStored(repository: EstateRepository): EstateRepository {
  const images = [...repository.images.values()].flatMap((image) => {
    const attestation = attestationOf(image);
    return attestation ? [attestation, image] : [image];
  });
  return { ...repository, images: new Map(images.map((image) => [image.digest, image])) };
}

/** What an index lists. */
export const childrenOf = (image: EstateImage): string[] => [
  ...(image.platforms ?? []),
  ...(attestationOf(image) ? [attestationOf(image)?.digest as string] : []),
];

/** What Harbor says that an artifact takes: of an index its own manifest and all that it lists. */
const sizeOf = (image: EstateImage, { images }: EstateRepository): number =>
  image.sizeBytes + sum(childrenOf(image).map((digest) => images.get(digest)?.sizeBytes ?? 0));

const accessoryTypes: Readonly<Record<string, readonly string[]>> = {
  signature: ['signature.cosign', 'signature.notation'],
  sbom: ['sbom.harbor'],
};

function accessoriesOf(image: EstateImage, { repository, idOf }: ArtifactContext) {
  const found = [...repository.images.values()].filter(
    (one) => isAccessory(one) && one.subject === image.digest,
  );
  if (found.length === 0) return null;
  return found.map((one) => {
    const types = accessoryTypes[one.kind] ?? ['subject.accessory'];
    return {
      id: idOf(repository.name, one.digest),
      artifact_id: idOf(repository.name, one.digest),
      subject_artifact_id: 0,
      subject_artifact_digest: image.digest,
      subject_artifact_repo: repository.name,
      size: one.sizeBytes,
      digest: one.digest,
      type: types[variant(one.digest, types.length)],
      icon: '',
      creation_time: timeText(one.pushedAt),
    };
  });
}

function reference(parent: number, digest: string, { repository, idOf }: ArtifactContext): object {
  const child = repository.images.get(digest);
  const attests = child?.kind === 'attestation';
  return {
    parent_id: parent,
    child_id: idOf(repository.name, digest),
    child_digest: digest,
    platform: attests
      ? { architecture: 'unknown', os: 'unknown', "'os.features'": null }
      : { architecture: child?.architecture ?? 'amd64', os: 'linux', "'os.features'": null },
    annotations: attests ? { 'vnd.docker.reference.type': 'attestation-manifest' } : null,
    urls: null,
  };
}

export function toArtifact(image: EstateImage, context: ArtifactContext): object {
  const { repository, projectId, repositoryId, idOf, flags } = context;
  const id = idOf(repository.name, image.digest);
  const scannable = context.scannable && isScannable(image, repository);
  const base = `/api/v2.0/projects/p/repositories/r/artifacts/${image.digest}/additions`;
  const link = (name: string) => ({ [name]: { absolute: false, href: `${base}/${name}` } });
  const links = {
    ...(!image.platforms && link('build_history')),
    ...(scannable && { ...link('vulnerabilities'), ...link('sboms') }),
  };
  const overview = flags.overview && scannable ? overviewOf(image, context) : undefined;
  return {
    id,
    type: 'IMAGE',
    media_type: 'application/vnd.oci.image.config.v1+json',
    manifest_media_type: image.platforms
      ? 'application/vnd.oci.image.index.v1+json'
      : 'application/vnd.oci.image.manifest.v1+json',
    ...(!image.platforms && { artifact_type: 'application/vnd.oci.image.config.v1+json' }),
    project_id: projectId,
    repository_id: repositoryId,
    ...(context.namesRepository && { repository_name: repository.name }),
    digest: image.digest,
    size: sizeOf(image, repository),
    icon: 'sha256:0048162a053eef4d4ce3fe7518615bef084403614f8bca43b40ae2e762e11e06',
    push_time: timeText(image.pushedAt),
    pull_time: timeText(image.pulledAt),
    extra_attrs: { architecture: image.architecture ?? '', os: 'linux' },
    annotations: null,
    references: image.platforms ? childrenOf(image).map((digest) => reference(id, digest, context)) : null,
    tags:
      flags.tag && image.tags.length > 0
        ? image.tags.map((name) => ({
            id,
            repository_id: repositoryId,
            artifact_id: id,
            name,
            push_time: timeText(image.pushedAt),
            pull_time: timeText(image.pulledAt),
            immutable: false,
          }))
        : null,
    ...(Object.keys(links).length > 0 && { addition_links: links }),
    labels: null,
    ...(overview && { scan_overview: overview }),
    accessories: flags.accessory ? accessoriesOf(image, context) : null,
  };
}
