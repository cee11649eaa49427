import { type ClickhouseAddress, connectClickhouse } from '../../clients/clickhouse.ts'
import type { Pair } from './pairs.ts'

export interface Sink {
  /** Counts the rows made before `watermark`, in whole seconds since the epoch, that are not deleted. */
  count(pair: Pair, watermark: number, signal: AbortSignal): Promise<bigint>
  close(): void
}

/** `statementTimeout` in milliseconds. */
export function clickhouseSink(address: () => ClickhouseAddress, statementTimeout: number): Sink {
  const server = connectClickhouse(address)
  const settings = {
    // A common default of operators that counts a row twice when its versions are in two partitions.
    do_not_merge_across_partitions_select_final: 0,
    max_execution_time: Math.ceil(statementTimeout / 1000),
  } as const
  return {
    async count({ sink, watermark, deleted }, below, signal) {
      const from =
        sink.container === undefined ? '{table:Identifier}' : '{container:Identifier}.{table:Identifier}'
      // The watermark is in countIf: in WHERE it would choose among the versions of a row before FINAL does.
      const conditions = [
        '{watermark:Identifier} < fromUnixTimestamp({below:Int64})',
        ...(deleted === undefined ? [] : ['{deleted:Identifier} = 0']),
      ]
      const sql = `
        SELECT
          countIf(${conditions.join(' AND ')}) AS rows,
          toUInt8(getSetting('do_not_merge_across_partitions_select_final')) AS unmerged
        FROM ${from} FINAL
        ${sink.only === undefined ? '' : 'WHERE {column:Identifier} = {value:String}'}`
      const params = {
        table: sink.table,
        watermark,
        below,
        ...(sink.container === undefined ? {} : { container: sink.container }),
        ...(deleted === undefined ? {} : { deleted }),
        ...sink.only,
      }
      const [row] = await server.query(sql, params, signal, settings)
      if (row?.unmerged !== '0') {
        throw new Error(
          'ClickHouse does not merge across partitions for this user, whose read-only mode lets no query change that: unset do_not_merge_across_partitions_select_final',
        )
      }
      return BigInt(String(row.rows))
    },
    close: () => server.close(),
  }
}
