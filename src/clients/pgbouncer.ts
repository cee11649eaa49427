import { AS_TEXT, pgConnection } from './pg-connection.ts'
import type { PostgresqlRow } from './postgresql.ts'

/** What PgBouncer's console has to show that we ask for. */
export type Shown = 'CONFIG' | 'DATABASES' | 'LISTS' | 'POOLS' | 'STATS_TOTALS' | 'VERSION'

export interface PgbouncerReader {
  /** The rows of `SHOW …`, values as text. One at a time. */
  show(what: Shown, signal: AbortSignal): Promise<readonly PostgresqlRow[]>
  close(): void
}

/** Reads from PgBouncer's admin console: the database `pgbouncer` of `url`. Calls nothing but SHOW. */
export function connectPgbouncer(url: () => string): PgbouncerReader {
  const connection = pgConnection('pgbouncer', url)
  return {
    show: (what, signal) =>
      connection.run(`SHOW ${what}`, signal, async (client) => {
        // The console knows neither transactions nor the extended protocol.
        const { rows } = await client.query<PostgresqlRow>({ text: `SHOW ${what}`, types: AS_TEXT })
        return rows
      }),
    close: () => connection.close(),
  }
}
