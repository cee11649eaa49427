import { z } from 'zod'
import { connectClickhouse } from '../../clients/clickhouse.ts'
import { defineCollector, seconds } from '../../collection/collector.ts'
import { settings } from './config.ts'
import * as metrics from './metrics.ts'

// From system.tables, since a table that was emptied has no parts, and its rows are 0, not unknown.
const TABLES = `
  SELECT
    tables.database AS database_name,
    tables.name AS table_name,
    ifNull(sum(parts.rows), 0) AS row_count,
    ifNull(sum(parts.bytes_on_disk), 0) AS byte_count,
    countIf(parts.active = 1) AS part_count
  FROM system.tables AS tables
  LEFT JOIN (SELECT database, table, rows, bytes_on_disk, active FROM system.parts WHERE active) AS parts
    ON parts.database = tables.database AND parts.table = tables.name
  WHERE tables.engine LIKE '%MergeTree'
    AND tables.database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')
  GROUP BY database_name, table_name
  ORDER BY byte_count DESC
  LIMIT 10000`

const tables = z.array(
  z.object({
    database_name: z.string(),
    table_name: z.string(),
    row_count: z.coerce.number(),
    byte_count: z.coerce.number(),
    part_count: z.coerce.number(),
  }),
)

/** A ClickHouse server and the size of its tables. */
export const clickhouse = defineCollector({
  kind: 'clickhouse',
  health: { key: 'clickhouse_connection', title: 'ClickHouse' },
  settings,
  families: Object.values(metrics),
  up: metrics.up,
  defaults: { interval: seconds(30), timeout: seconds(10) },
  create({ url, username, password, database }) {
    const server = connectClickhouse(() => ({
      url: url.reveal(),
      username,
      password: password?.reveal(),
      database,
    }))
    return {
      async collect(batch, signal) {
        for (const table of tables.parse(await server.query(TABLES, {}, signal))) {
          const labels = { database: table.database_name, table: table.table_name }
          batch.add(metrics.tableRows, labels, table.row_count)
          batch.add(metrics.tableBytes, labels, table.byte_count)
          batch.add(metrics.tableParts, labels, table.part_count)
        }
      },
      async stop() {
        server.close()
      },
    }
  },
})
