import { isIP } from 'node:net'
import { type ConnectionOptions, checkServerIdentity } from 'node:tls'

/** A text that is read anew at each use, since it may have been rotated. */
export interface Revealed {
  reveal(): string
}

/** Texts are PEM; without `ca` it is the authorities that Node trusts. */
export interface TlsSettings {
  readonly ca?: Revealed | undefined
  readonly cert?: Revealed | undefined
  readonly key?: Revealed | undefined
  /** Sent to the server and expected in its certificate, in place of the address's host. */
  readonly server_name?: string | undefined
  readonly insecure_skip_verify: boolean
}

export function tlsOptions(settings: TlsSettings) {
  const { ca, cert, key, server_name, insecure_skip_verify } = settings
  return {
    ...(ca && { ca: ca.reveal() }),
    ...(cert && { cert: cert.reveal() }),
    ...(key && { key: key.reveal() }),
    ...(server_name !== undefined && serverName(server_name)),
    rejectUnauthorized: !insecure_skip_verify,
  }
}

/** TLS has no place for an address where the name of a server is sent (RFC 6066): it is only expected. */
function serverName(name: string): Pick<ConnectionOptions, 'checkServerIdentity' | 'servername'> {
  return isIP(name)
    ? { checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate) }
    : { servername: name }
}
