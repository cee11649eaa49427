import {
  clickhouseDatabase,
  type Database,
  postgresqlDatabase,
  starrocksDatabase,
} from '../../clients/databases.ts'
import type { Clock } from '../../clock.ts'
import { clickhouseAddress } from '../../config/clickhouse.ts'
import { clickhouseSink, MERGED } from './clickhouse-sink.ts'
import type { Settings } from './config.ts'
import type { Side } from './query-task.ts'
import type { Sink } from './sink.ts'
import { postgresqlSource, type Source } from './source.ts'
import { starrocksSink } from './starrocks-sink.ts'

/** A connection to each side. */
export interface Sides {
  readonly source: Source
  readonly sink: Sink
}

export function sidesOf({
  source,
  sink,
  statement_timeout,
}: Pick<Settings, 'source' | 'sink' | 'statement_timeout'>): Sides {
  return {
    source: postgresqlSource({
      url: () => source.postgresql.url.reveal(),
      statementTimeout: statement_timeout,
    }),
    sink: sinkOf(sink, statement_timeout),
  }
}

function sinkOf({ clickhouse, starrocks }: Settings['sink'], statementTimeout: number): Sink {
  if (clickhouse) return clickhouseSink(() => clickhouseAddress(clickhouse), statementTimeout)
  if (starrocks) return starrocksSink(() => ({ url: starrocks.url.reveal(), statementTimeout }))
  throw new Error('the settings name no sink')
}

/** Where the queries of the configuration run. */
export const databasesOf = (
  { source, sink }: Pick<Settings, 'source' | 'sink'>,
  clock: Clock,
): Readonly<Record<Side, Database>> => ({
  source: postgresqlDatabase(() => source.postgresql.url.reveal(), clock),
  sink: sinkDatabase(sink, clock),
})

function sinkDatabase({ clickhouse, starrocks }: Settings['sink'], clock: Clock): Database {
  if (clickhouse) {
    // Otherwise what is infinite, or no number, would come as NULL.
    const settings = { ...MERGED, output_format_json_quote_denormals: 1 } as const
    return clickhouseDatabase(() => clickhouseAddress(clickhouse), clock, settings)
  }
  if (starrocks) return starrocksDatabase(() => starrocks.url.reveal(), clock)
  throw new Error('the settings name no sink')
}
