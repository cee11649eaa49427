import type { Database } from '../../clients/databases.ts'
import { quoteIdentifier } from '../../clients/postgresql.ts'
import type { Clock } from '../../clock.ts'
import type { CheckReport } from '../../collection/checks.ts'
import type { Settings } from './config.ts'
import type { Place } from './pairs.ts'
import type { Side } from './query-task.ts'
import type { Sides } from './sides.ts'

/** All that a look at a drift collector needs. */
export interface Look {
  readonly settings: Settings
  readonly report: CheckReport
  readonly clock: Clock
  readonly databases: Readonly<Record<Side, Database>>
  /** Of each side as many as tables are looked at at once. */
  readonly connections: readonly Sides[]
  /** Which sides can be asked. */
  readonly answers: Readonly<Record<Side, boolean>>
  readonly signal: AbortSignal
}

/** Whether it is told again when it is asked again: the backend refuses the statement, or we did not even send it. */
export const isFault = (database: Database, error: unknown): boolean =>
  database.refusalOf(error) !== undefined || (error instanceof Error && error.cause === undefined)

export const shown = ({ container, table }: Place): string =>
  container === undefined ? table : `${container}.${table}`

export const quotedPlace = ({ container, table }: Place): string =>
  [container, table]
    .filter((name) => name !== undefined)
    .map(quoteIdentifier)
    .join('.')

export function roleOf({ source }: Settings): string {
  const { username } = new URL(source.postgresql.url.reveal())
  return username === '' ? '…' : quoteIdentifier(decodeURIComponent(username))
}

export const countOf = (tables: number): string => (tables === 1 ? '1 table' : `${tables} tables`)
