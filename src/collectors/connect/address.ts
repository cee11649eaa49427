import type { RestAddress } from '../../clients/rest.ts'
import type { ConnectSettings } from './config.ts'

/** Where a cluster is and how to log on, its secrets read anew. */
export function addressOf({ urls, username, password, token, tls }: ConnectSettings): RestAddress {
  return {
    urls,
    username,
    password: password?.reveal(),
    token: token?.reveal(),
    tls,
  }
}
