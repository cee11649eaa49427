import type { RestAddress } from '../../clients/rest.ts'
import type { Settings } from './config.ts'

/** Where a cluster is and how to log on, its secrets read anew. */
export const addressOf = ({ urls, username, password, tls }: Settings): RestAddress => ({
  urls,
  username,
  password: password?.reveal(),
  tls,
})
