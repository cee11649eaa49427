import type { ConnectAddress } from '../../clients/connect.ts'
import type { ConnectSettings } from './config.ts'

/** Where a cluster is and how to log on, its secrets read anew. */
export function addressOf({ urls, username, password, token, tls }: ConnectSettings): ConnectAddress {
  return {
    urls,
    username,
    password: password?.reveal(),
    token: token?.reveal(),
    tls: tls && {
      ca: tls.ca?.reveal(),
      cert: tls.cert?.reveal(),
      key: tls.key?.reveal(),
      serverName: tls.server_name,
      insecureSkipVerify: tls.insecure_skip_verify,
    },
  }
}
