import type { RedisAddress } from '../../clients/redis.ts'
import type { Settings } from './config.ts'

/** Where the server or its sentinels are and how to log on, its secrets read anew. */
export function addressOf({
  url,
  username,
  password,
  database,
  tls,
  sentinel,
}: Pick<Settings, 'url' | 'username' | 'password' | 'database' | 'tls' | 'sentinel'>): RedisAddress {
  return {
    url: url?.reveal(),
    username,
    password: password?.reveal(),
    database,
    tls,
    sentinel: sentinel && { ...sentinel, password: sentinel.password?.reveal() },
  }
}
