import { connectClickhouse, quoteIdentifier as quoteForClickhouse } from '../../clients/clickhouse.ts'
import { connectStarrocks, quoteIdentifier as quoteForStarrocks } from '../../clients/starrocks.ts'
import { clickhouseAddress } from '../../config/clickhouse.ts'
import type { Settings } from './config.ts'

export interface Sink {
  /**
   * The newest sequence of each id that begins with `prefix`, of those that are `from` or more. Without FINAL:
   * of the versions of a row the newest counts, whether they are merged or not.
   */
  newest(prefix: string, from: bigint, signal: AbortSignal): Promise<ReadonlyMap<string, bigint>>
  close(): void
}

export function sinkOf({ sink, statement_timeout }: Settings): Sink {
  const { clickhouse, starrocks, columns } = sink
  const names = sink.table.split('.')
  if (clickhouse) {
    const server = connectClickhouse(() => clickhouseAddress(clickhouse))
    const [id, sequence] = [columns.id, columns.sequence].map(quoteForClickhouse)
    const sql = `
      SELECT toString(${id}) AS canary, max(${sequence}) AS newest FROM ${names.map(quoteForClickhouse).join('.')}
      WHERE startsWith(${id}, {prefix:String}) AND ${sequence} >= {from:Int64} GROUP BY ${id}`
    const limits = { max_execution_time: Math.max(1, Math.ceil(statement_timeout / 1000)) }
    return {
      newest: async (prefix, from, signal) =>
        newestOf(await server.query(sql, { prefix, from: String(from) }, signal, limits)),
      close: () => server.close(),
    }
  }
  if (starrocks) {
    const server = connectStarrocks(() => ({
      url: starrocks.url.reveal(),
      statementTimeout: statement_timeout,
    }))
    const [id, sequence] = [columns.id, columns.sequence].map(quoteForStarrocks)
    const sql = `
      SELECT ${id} AS canary, max(${sequence}) AS newest FROM ${names.map(quoteForStarrocks).join('.')}
      WHERE left(${id}, char_length(?)) = ? AND ${sequence} >= ? GROUP BY ${id}`
    return {
      newest: async (prefix, from, signal) =>
        newestOf(await server.query(sql, [prefix, prefix, from], signal)),
      close: () => server.close(),
    }
  }
  throw new Error('the settings name no sink')
}

const newestOf = (rows: readonly Readonly<Record<string, unknown>>[]): ReadonlyMap<string, bigint> =>
  new Map(rows.map(({ canary, newest }) => [String(canary), BigInt(String(newest))]))
