/**
 * What upstream does with the same file, as its sources tell:
 * https://github.com/prometheus/exporter-toolkit/blob/19a7c2d/web/tls_config.go (getConfig, ConfigToTLSConfig,
 * Validate) and handler.go (validateUsers, validateHeaderConfig). `stricter` rows are the ones that we refuse and
 * upstream takes; docs/web-config.md lists them.
 */
type Verdict = 'accepted' | RegExp;
export interface Row {
  readonly title: string;
  readonly yaml: string;
  readonly why: string;
  readonly verdict: Verdict;
  readonly stricter?: true;
}

const hash = '$2y$10$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu';
const pair = 'cert_file: server.crt, key_file: server.key';
const tls = (more: string) => `tls_server_config: { ${pair}, ${more} }`;
const header = (line: string) => `http_server_config: { headers: { ${line} } }`;

export const rows: readonly Row[] = [
  { title: 'an empty file', yaml: '', verdict: 'accepted', why: 'no section: plain HTTP for all' },
  {
    title: 'sections without content',
    yaml: 'tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n',
    verdict: 'accepted',
    why: 'null is the zero value',
  },
  {
    title: 'text that is no mapping',
    yaml: 'hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n',
    verdict: /expected object/i,
    why: 'cannot unmarshal into Config',
  },
  { title: 'broken YAML', yaml: 'tls_server_config: {', verdict: /:1:/, why: 'UnmarshalStrict' },
  { title: 'an unknown section', yaml: 'tls_config: {}', verdict: /tls_config/, why: 'UnmarshalStrict' },
  {
    title: 'an unknown key in the TLS section',
    yaml: 'tls_server_config: { cert_filse: server.crt }',
    verdict: /cert_filse/,
    why: 'UnmarshalStrict',
  },
  {
    title: 'an unknown key in the HTTP section',
    yaml: 'http_server_config: { http3: true }',
    verdict: /http3/,
    why: 'UnmarshalStrict',
  },
  {
    title: 'an unknown key in the rate limit',
    yaml: 'rate_limit: { rate: 1 }',
    verdict: /rate/,
    why: 'UnmarshalStrict',
  },
  {
    title: 'the same key twice',
    yaml: 'basic_auth_users: {}\nbasic_auth_users: {}\n',
    verdict: /this setting is given twice/,
    why: 'UnmarshalStrict refuses duplicates',
  },

  {
    title: 'only users',
    yaml: `basic_auth_users: { alice: ${hash} }`,
    verdict: 'accepted',
    why: 'web_config_users_noTLS.good.yml',
  },
  {
    title: 'a user whose name is a number',
    yaml: `basic_auth_users: { 123: ${hash} }`,
    verdict: 'accepted',
    why: 'a scalar is decoded into a string key',
  },
  {
    title: 'a password instead of a hash',
    yaml: 'basic_auth_users: { john: doe }',
    verdict: /john: is no bcrypt hash/,
    why: 'bcrypt.Cost: hash too short',
  },
  {
    title: 'a user without a hash',
    yaml: 'basic_auth_users: { john: }',
    verdict: /john: is no bcrypt hash/,
    why: 'bcrypt.Cost of an empty text',
  },
  {
    title: 'a hash of too high a cost',
    yaml: 'basic_auth_users: { john: $2y$32$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu }',
    verdict: /no bcrypt hash/,
    why: 'bcrypt.Cost: 4 to 31',
  },
  {
    title: 'a hash of an old minor version',
    yaml: 'basic_auth_users: { john: $2x$10$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu }',
    verdict: 'accepted',
    why: 'the minor version is not looked at',
  },
  {
    title: 'a hash with something after it',
    yaml: `basic_auth_users: { john: "${hash}xx" }`,
    verdict: /no bcrypt hash/,
    stricter: true,
    why: 'upstream takes it, and no password ever matches',
  },

  {
    title: 'certificate and key',
    yaml: `tls_server_config: { ${pair} }`,
    verdict: 'accepted',
    why: 'relative to the file: SetDirectory',
  },
  {
    title: 'an empty TLS section',
    yaml: 'tls_server_config: {}',
    verdict: 'accepted',
    why: 'IsEnabled is false: plain HTTP',
  },
  {
    title: 'a TLS section with versions only',
    yaml: 'tls_server_config: { min_version: TLS13 }',
    verdict: 'accepted',
    why: 'IsEnabled is false: plain HTTP',
  },
  {
    title: 'a certificate without a key',
    yaml: 'tls_server_config: { cert_file: server.crt }',
    verdict: /needs key_file/,
    why: 'missing one of key or key_file',
  },
  {
    title: 'a key without a certificate',
    yaml: 'tls_server_config: { key_file: server.key }',
    verdict: /needs cert_file/,
    why: 'missing one of cert or cert_file',
  },
  {
    title: 'a key whose path is empty',
    yaml: 'tls_server_config: { cert_file: server.crt, key_file: "" }',
    verdict: /needs key_file/,
    why: 'web_config_noAuth_keyPath_empty.bad.yml',
  },
  {
    title: 'an empty inline certificate',
    yaml: 'tls_server_config: { cert: "", key_file: server.key }',
    verdict: /needs cert_file/,
    why: 'web_config_noAuth_cert_empty.bad.yml',
  },
  {
    title: 'a certificate that is not there',
    yaml: 'tls_server_config: { cert_file: nowhere, key_file: server.key }',
    verdict: /nowhere cannot be read/,
    why: 'failed to read cert_file',
  },
  {
    title: 'a key of another certificate',
    yaml: 'tls_server_config: { cert_file: server.crt, key_file: other.key }',
    verdict: /cannot be used together/,
    why: 'X509KeyPair: private key does not match',
  },
  {
    title: 'a file that is no certificate',
    yaml: 'tls_server_config: { cert_file: web.yml, key_file: server.key }',
    verdict: /cannot be used together/,
    why: 'X509KeyPair: no certificate found',
  },
  {
    title: 'certificate inline and in a file',
    yaml: `tls_server_config: { cert: junk, ${pair} }`,
    verdict: 'accepted',
    why: 'loadCert takes the file',
  },
  {
    title: 'an unknown TLS version',
    yaml: tls('min_version: TLS111'),
    verdict: /min_version/,
    why: 'unknown TLS version',
  },
  {
    title: 'old TLS versions',
    yaml: tls('min_version: TLS10, max_version: TLS11'),
    verdict: /min_version: TLS10 cannot be spoken/,
    why: 'tlsVersions has them; here no handshake could succeed with them',
  },
  {
    title: 'a minimum above the maximum',
    yaml: tls('min_version: TLS13, max_version: TLS12'),
    verdict: 'accepted',
    why: 'loads; each handshake fails',
  },
  {
    title: 'all cipher suites that Go offers',
    yaml: tls(
      'cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]',
    ),
    verdict: 'accepted',
    why: 'web_config_noAuth_allCiphers.good.yml',
  },
  {
    title: 'an invented cipher suite',
    yaml: tls('cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]'),
    verdict: /cipher_suites\[0\]/,
    why: 'unknown cipher',
  },
  {
    title: 'a cipher suite that Go calls insecure',
    yaml: tls('cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]'),
    verdict: /cipher_suites\[0\]/,
    why: 'not among tls.CipherSuites()',
  },
  {
    title: 'all curves',
    yaml: tls('curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]'),
    verdict: 'accepted',
    why: 'web_config_noAuth_allCurves.good.yml',
  },
  {
    title: 'an invented curve',
    yaml: tls('curve_preferences: [CurveP257]'),
    verdict: /curve_preferences\[0\]/,
    why: 'unknown curve',
  },
  {
    title: 'server preference in the words of YAML 1.1',
    yaml: tls('prefer_server_cipher_suites: no'),
    verdict: 'accepted',
    why: 'go.yaml.in/yaml/v2 reads no as false',
  },

  ...[
    'NoClientCert',
    'RequestClientCert',
    'RequireAnyClientCert',
    'RequireClientCert',
    'VerifyClientCertIfGiven',
    'RequireAndVerifyClientCert',
  ].map(
    (type): Row => ({
      title: `${type} without an authority`,
      yaml: tls(`client_auth_type: ${type}`),
      verdict: 'accepted',
      why: 'the authorities of the system count',
    }),
  ),
  ...[
    'RequestClientCert',
    'RequireAnyClientCert',
    'VerifyClientCertIfGiven',
    'RequireAndVerifyClientCert',
  ].map(
    (type): Row => ({
      title: `${type} with an authority`,
      yaml: tls(`client_auth_type: ${type}, client_ca_file: ca.crt`),
      verdict: 'accepted',
      why: 'ClientCAs',
    }),
  ),
  {
    title: 'NoClientCert with an authority',
    yaml: tls('client_auth_type: NoClientCert, client_ca_file: ca.crt'),
    verdict: /client_ca_file: is given/,
    why: "client CA's without a Client Auth Policy",
  },
  {
    title: 'an authority without a policy',
    yaml: tls('client_ca_file: ca.crt'),
    verdict: /client_ca_file: is given/,
    why: "client CA's without a Client Auth Policy",
  },
  {
    title: 'an invented policy',
    yaml: tls('client_auth_type: x'),
    verdict: /client_auth_type/,
    why: 'invalid ClientAuth',
  },
  {
    title: 'a policy without certificate and key',
    yaml: 'tls_server_config: { client_auth_type: RequestClientCert }',
    verdict: /needs cert_file/,
    why: 'IsEnabled, and no certificate',
  },
  {
    title: 'an authority that is not there',
    yaml: tls('client_auth_type: RequireAndVerifyClientCert, client_ca_file: nowhere'),
    verdict: /nowhere cannot be read/,
    why: 'os.ReadFile',
  },
  {
    title: 'an authority without a certificate in it',
    yaml: tls('client_auth_type: RequireAndVerifyClientCert, client_ca_file: /dev/null'),
    verdict: /holds no certificate/,
    stricter: true,
    why: 'upstream loads an empty pool, and no client ever gets in',
  },
  {
    title: 'an authority that is cut',
    yaml: tls('client_auth_type: RequireAndVerifyClientCert, client_ca_file: cut.crt'),
    verdict: /holds no certificate in PEM, or a damaged one/,
    stricter: true,
    why: 'upstream leaves it out of the pool, and its clients never get in',
  },
  {
    title: 'allowed names',
    yaml: tls(
      'client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt, client_allowed_sans: [prometheus]',
    ),
    verdict: 'accepted',
    why: 'web_config_auth_client_san.good.yaml',
  },
  {
    title: 'allowed names without a policy',
    yaml: tls('client_allowed_sans: [prometheus]'),
    verdict: 'accepted',
    why: 'VerifyPeerCertificate is never called',
  },

  {
    title: 'all headers',
    yaml: header(
      'X-Frame-Options: deny, Strict-Transport-Security: max-age=31536000, X-Content-Type-Options: nosniff, X-XSS-Protection: 1, Content-Security-Policy: "default-src *"',
    ),
    verdict: 'accepted',
    why: 'web_config_headers.good.yml, the 1 being a number',
  },
  {
    title: 'another header',
    yaml: header('Content-Type: foo'),
    verdict: /Content-Type/,
    why: 'can not be configured',
  },
  {
    title: 'a header in small letters',
    yaml: header('x-frame-options: deny'),
    verdict: /x-frame-options/,
    why: 'extraHTTPHeaders is looked up as written',
  },
  {
    title: 'an invented frame option',
    yaml: header('X-Frame-Options: foo'),
    verdict: /X-Frame-Options/,
    why: 'expected one of deny, sameorigin',
  },
  {
    title: 'a frame option without a value',
    yaml: header('X-Frame-Options: '),
    verdict: /X-Frame-Options/,
    why: 'expected one of deny, sameorigin',
  },
  {
    title: 'an invented content type option',
    yaml: header('X-Content-Type-Options: sniff'),
    verdict: /X-Content-Type-Options/,
    why: 'expected nosniff',
  },
  {
    title: 'HTTP/2 switched off',
    yaml: 'http_server_config: { http2: false }',
    verdict: 'accepted',
    why: 'HTTP/1.1 is all we speak anyhow',
  },
  {
    title: 'HTTP/2 that is no boolean',
    yaml: 'http_server_config: { http2: maybe }',
    verdict: /http2/,
    why: 'cannot unmarshal into bool',
  },

  {
    title: 'a rate limit',
    yaml: 'rate_limit: { interval: 1s, burst: 5 }',
    verdict: 'accepted',
    why: 'RateLimiterConfig',
  },
  {
    title: 'a rate limit that is off',
    yaml: 'rate_limit: { interval: 0 }',
    verdict: 'accepted',
    why: 'an interval of 0 disables it',
  },
  {
    title: 'a rate limit without a unit',
    yaml: 'rate_limit: { interval: "5", burst: 1 }',
    verdict: /interval: is no duration/,
    why: 'time.ParseDuration: missing unit',
  },
  {
    title: 'a negative rate limit',
    yaml: 'rate_limit: { interval: -1s, burst: 1 }',
    verdict: /interval: is no duration/,
    stricter: true,
    why: 'upstream then limits nothing',
  },
];
