import type { ProbeRequest } from '../../clients/http-probe.ts'
import { tlsOptions } from '../../clients/tls.ts'
import type { Settings } from './config.ts'

/** What is the same for each URL. Reads the secrets. */
export function requestOf(settings: Settings): Omit<ProbeRequest, 'url'> {
  const { method, headers, secret_headers, body, username, password, token, tls } = settings
  const own = [
    ...Object.entries(headers),
    ...secret_headers.map(({ name, value }) => [name, value.reveal()] as const),
  ].map(([name, value]) => [name.toLowerCase(), value] as const)
  const basic = `${username}:${password?.reveal()}`
  return {
    method,
    headers: {
      'user-agent': 'cdc-exporter',
      ...(password && { authorization: `Basic ${Buffer.from(basic).toString('base64')}` }),
      ...(token && { authorization: `Bearer ${token.reveal()}` }),
      ...Object.fromEntries(own),
    },
    body,
    tls: tls ? tlsOptions(tls) : {},
    preferred: settings.preferred_ip_protocol,
    maxRedirects: settings.max_redirects,
    maxBody: settings.max_body,
  }
}
