import {
  clickhouseDatabase,
  type Database,
  postgresqlDatabase,
  starrocksDatabase,
} from '../../clients/databases.ts'
import type { Clock } from '../../clock.ts'
import { clickhouseAddress } from '../../config/clickhouse.ts'
import type { ConnectionSettings } from './config.ts'

export function open(connection: ConnectionSettings, clock: Clock): Database {
  if ('postgresql' in connection) {
    const { url } = connection.postgresql
    return postgresqlDatabase(() => url.reveal(), clock)
  }
  if ('starrocks' in connection) {
    const { url } = connection.starrocks
    return starrocksDatabase(() => url.reveal(), clock)
  }
  return clickhouseDatabase(() => clickhouseAddress(connection.clickhouse), clock)
}
