import mysql from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { canary } from '../../../src/collectors/canary/index.ts'
import { type MariadbPart, startMariadb } from '../../testbed/parts/mariadb.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { waitFor } from '../../testbed/process.ts'
import { collecting } from '../collect.ts'

// StarRocks cannot be had here: MariaDB stands in for it, with the same protocol and the same SQL.

let postgres: PostgresPart
let mariadb: MariadbPart
let database: pg.Client
let warehouse: mysql.Connection

beforeAll(async () => {
  ;[postgres, mariadb] = await Promise.all([startPostgres(), startMariadb()])
  database = new pg.Client({ connectionString: postgres.url() })
  await database.connect()
  await database.query(
    'CREATE TABLE cdc_canary (id text PRIMARY KEY, sequence bigint NOT NULL, written_at timestamp NOT NULL)',
  )
  warehouse = await mysql.createConnection({ uri: mariadb.url('mysql') })
  await warehouse.query('CREATE DATABASE erp')
  await warehouse.query('CREATE TABLE erp.cdc_canary (id varchar(255) PRIMARY KEY, sequence bigint)')
})
afterAll(async () => {
  await warehouse?.end()
  await database?.end()
  await Promise.all([postgres?.remove(), mariadb?.remove()])
})

test('a canary is seen in StarRocks', async () => {
  const collector = collecting(canary, {
    source: { postgresql: { url: postgres.url() } },
    sink: { starrocks: { url: mariadb.url('erp') } },
    watch: '2m',
  })
  // The pipeline between them.
  let row: { id: string; sequence: string } | undefined
  const carried = waitFor('a canary', async () => {
    row = (await database.query('SELECT id, sequence FROM cdc_canary')).rows[0]
    if (row) await warehouse.query('REPLACE INTO erp.cdc_canary VALUES (?, ?)', [row.id, row.sequence])
    return row !== undefined
  })
  try {
    const [lines] = await Promise.all([collector.run(), carried])
    expect(row?.id).toBe('test/0')
    for (const name of ['sent_total', 'latency_seconds_count']) {
      expect(lines).toContain(`cdc_canary_${name}{target="test",table="cdc_canary",tenant=""} 1`)
    }
    expect(lines).toContain('cdc_freshness_ok{target="test",table="cdc_canary",tenant=""} 1')
  } finally {
    await collector.stop()
  }
})
