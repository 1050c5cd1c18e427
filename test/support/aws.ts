import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A key, or other settings as the AWS CLI names them. */
type Profile = { readonly id: string; readonly secret: string } | Readonly<Record<string, string>>;

const keys: Readonly<Record<string, string>> = { id: 'aws_access_key_id', secret: 'aws_secret_access_key' };
const linesOf = (profile: Profile): string[] =>
  Object.entries(profile).map(([name, value]) => `${keys[name] ?? name}=${value}`);

/**
 * Configuration files of the AWS CLI with these profiles, and nothing else that the SDK would take credentials, regions or
 * addresses from: a person's own are none of the tests' business.
 */
export function useAwsFiles(folder: string, profiles: Readonly<Record<string, Profile>>): void {
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
  const credentials = join(folder, 'credentials');
  const config = join(folder, 'config');
  writeFileSync(
    credentials,
    Object.entries(profiles)
      .map(([name, profile]) => `[${name}]\n${linesOf(profile).join('\n')}\n`)
      .join('\n'),
  );
  writeFileSync(config, '');
  Object.assign(process.env, {
    AWS_SHARED_CREDENTIALS_FILE: credentials,
    AWS_CONFIG_FILE: config,
    AWS_EC2_METADATA_DISABLED: 'true',
  });
}
