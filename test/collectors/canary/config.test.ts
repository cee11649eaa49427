import { expect, test } from 'vitest'
import { longestWait, settings } from '../../../src/collectors/canary/config.ts'

const given = {
  source: { postgresql: { url: 'postgresql://localhost/erp' } },
  sink: { clickhouse: { url: 'http://localhost:8123' } },
}

/** What is wrong with these settings, as `path: message`. */
const faults = (more: object) =>
  settings
    .safeParse({ ...given, ...more })
    .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)

test('two ends are all that it takes', () => {
  expect(settings.parse(given)).toMatchObject({
    source: {
      table: 'public.cdc_canary',
      columns: { id: 'id', sequence: 'sequence', written_at: 'written_at' },
    },
    sink: { table: 'cdc_canary', columns: { id: 'id', sequence: 'sequence' } },
    late_after: 60_000,
    lost_after: 900_000,
  })
})

test('one sink, qualified tables, and losses later than what is late', () => {
  const { clickhouse } = given.sink
  const starrocks = { url: 'mysql://localhost:9030/erp' }
  expect(faults({ sink: {} })).toEqual(['sink: give clickhouse or starrocks, one of them'])
  expect(faults({ sink: { clickhouse, starrocks } })).toEqual([
    'sink: give clickhouse or starrocks, one of them',
  ])
  expect(faults({ source: { ...given.source, table: 'cdc_canary' } })).toEqual([
    'source.table: expected schema.table, such as public.cdc_canary, got "cdc_canary"',
  ])
  expect(faults({ sink: { clickhouse, table: 'a.b.c' } })).toEqual([
    'sink.table: expected a table such as cdc_canary or erp.cdc_canary, got "a.b.c"',
  ])
  expect(faults({ late_after: '1h' })).toEqual(['lost_after: expected more than late_after'])
})

test('a run may take the watch and its last look', () => {
  expect(longestWait(settings.parse({ ...given, watch: '20s', statement_timeout: '3s' }))).toBe(23_000)
})
