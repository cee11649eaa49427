import { gauge } from '../../metrics/family.ts'

// blackbox_exporter's names, labels and meanings; `url` stands for its `instance`.

export const success = gauge(
  'probe_success',
  'Whether the last background probe got the answer that is expected.',
  ['url'],
)

export const duration = gauge(
  'probe_duration_seconds',
  'Seconds that the last background probe took, redirects and the look at its answer among them.',
  ['url'],
)

export const timeout = gauge('probe_timeout_seconds', 'Seconds that a probe may take, probe_timeout.', [
  'url',
])

export const phaseDuration = gauge(
  'probe_http_duration_seconds',
  'Seconds of the last background probe by phase (resolve, connect, tls, processing, transfer), summed over redirects; 0 for a phase that did not come to its end, but for transfer.',
  ['url', 'phase'],
)

export const dnsLookup = gauge(
  'probe_dns_lookup_time_seconds',
  'Seconds that the last background probe took to find the address of the first host.',
  ['url'],
)

export const ipProtocol = gauge(
  'probe_ip_protocol',
  'Version of the protocol of the first host’s address in the last background probe, 4 or 6; 0 when there was no address.',
  ['url'],
)

export const ipHash = gauge(
  'probe_ip_addr_hash',
  'FNV-1a of the first host’s address in the last background probe, which changes with it; 0 when there was no address.',
  ['url'],
)

export const statusCode = gauge(
  'probe_http_status_code',
  'Status of the last answer in the last background probe; 0 without one.',
  ['url'],
)

export const version = gauge(
  'probe_http_version',
  'Version of HTTP of the last answer in the last background probe; 0 without one.',
  ['url'],
)

export const redirects = gauge(
  'probe_http_redirects',
  'Redirects in the last background probe, one that was not followed among them.',
  ['url'],
)

export const ssl = gauge(
  'probe_http_ssl',
  'Whether the last answer in the last background probe came over TLS.',
  ['url'],
)

export const contentLength = gauge(
  'probe_http_content_length',
  'Bytes that the last answer in the last background probe announced by Content-Length; -1 when it announced none, 0 without an answer.',
  ['url'],
)

export const bodyLength = gauge(
  'probe_http_uncompressed_body_length',
  'Bytes of the unpacked body of the last answer in the last background probe, as far as it was read.',
  ['url'],
)

export const lastModified = gauge(
  'probe_http_last_modified_timestamp_seconds',
  'Last-Modified of the last answer in the last background probe; absent where it has none.',
  ['url'],
)

export const failedDueToRegex = gauge(
  'probe_failed_due_to_regex',
  'Whether the last background probe failed by a regular expression on the body or a header.',
  ['url'],
)

export const earliestCertExpiry = gauge(
  'probe_ssl_earliest_cert_expiry',
  'When the first of the certificates ends that the server sent in the last background probe; of one that was refused too.',
  ['url'],
)

export const chainExpiry = gauge(
  'probe_ssl_last_chain_expiry_timestamp_seconds',
  'When the first certificate ends of the chain from the server to the authority, in the last background probe; absent where the chain is not trusted.',
  ['url'],
)

export const chainInfo = gauge(
  'probe_ssl_last_chain_info',
  '1 for the certificate that the server had in the last background probe.',
  ['url', 'fingerprint_sha256', 'subject', 'issuer', 'subjectalternative', 'serialnumber'],
)

export const tlsVersion = gauge(
  'probe_tls_version_info',
  '1 for the version of TLS in the last background probe.',
  ['url', 'version'],
)

export const tlsCipher = gauge(
  'probe_tls_cipher_info',
  '1 for the cipher of TLS in the last background probe.',
  ['url', 'cipher'],
)

export const componentUp = gauge(
  'cdc_http_component_up',
  'Whether a component is up, by the health JSON that the last background probe got (Nest Terminus: details, Spring Boot: components).',
  ['url', 'component'],
)
