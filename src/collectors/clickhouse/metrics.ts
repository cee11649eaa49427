import { gauge } from '../../metrics/family.ts'

export const up = gauge('clickhouse_up', 'Whether ClickHouse answered the last background run.')

export const tableRows = gauge(
  'clickhouse_table_rows',
  'Rows in the active parts of a MergeTree table, from system.parts, collected in the background; of the 10,000 largest tables.',
  ['database', 'table'],
)

export const tableBytes = gauge(
  'clickhouse_table_bytes',
  'Bytes on disk of the active parts of a MergeTree table, from system.parts, collected in the background; of the 10,000 largest tables.',
  ['database', 'table'],
)

export const tableParts = gauge(
  'clickhouse_table_parts',
  'Active parts of a MergeTree table, from system.parts, collected in the background; of the 10,000 largest tables.',
  ['database', 'table'],
)
