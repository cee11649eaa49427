import type { ClickHouseClient } from '@clickhouse/client'
import pg from 'pg'

/** The tables of every tenant; a tenant is a schema of the database `erp`. */
export const erpTables = ['journals', 'journal_lines', 'cash_accounts'] as const

/** The publication and the replication slot that the connector reads. */
export const erpPublication = 'erp_cdc'
export const erpSlot = 'erp_cdc'

/** Creates the database `erp` with its tenants and its publication. `url` is that of a superuser, by database. */
export async function createErpSource(
  url: (database?: string) => string,
  tenants: readonly string[],
): Promise<void> {
  await execute(url(), 'CREATE DATABASE erp')
  const tables = tenants.flatMap((tenant) => erpTables.map((table) => `${tenant}.${table}`))
  await execute(
    url('erp'),
    [
      ...tenants.map(tenantSchema),
      // Deletes then carry the whole row, so that the sink keeps its created_at.
      ...tables.map((table) => `ALTER TABLE ${table} REPLICA IDENTITY FULL;`),
      `CREATE PUBLICATION ${erpPublication} FOR TABLE ${tables.join(', ')};`,
    ].join('\n'),
  )
}

async function execute(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

function tenantSchema(tenant: string): string {
  return `
    CREATE SCHEMA ${tenant};
    CREATE TABLE ${tenant}.journals (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      number text NOT NULL,
      description text,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE ${tenant}.journal_lines (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      journal_id bigint NOT NULL REFERENCES ${tenant}.journals,
      account text NOT NULL,
      debit numeric(18,2) NOT NULL DEFAULT 0,
      credit numeric(18,2) NOT NULL DEFAULT 0,
      created_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX ON ${tenant}.journal_lines (journal_id);
    CREATE TABLE ${tenant}.cash_accounts (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      name text NOT NULL,
      balance numeric(18,2) NOT NULL DEFAULT 0,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    );
    INSERT INTO ${tenant}.cash_accounts (name, balance)
      VALUES ('Cash on hand', 1500000), ('Bank', 25000000), ('Petty cash', 250000);`
}

/**
 * Creates the database `erp` in ClickHouse: one table for all tenants. Of the versions of a row the one with
 * the highest position in the source's WAL wins, and a deleted row is absent with FINAL.
 */
export async function createErpSink(clickhouse: ClickHouseClient): Promise<void> {
  await clickhouse.command({ query: 'CREATE DATABASE IF NOT EXISTS erp' })
  for (const [table, columns] of Object.entries(SINK_COLUMNS))
    await clickhouse.command({
      query: `
        CREATE TABLE IF NOT EXISTS erp.${table} (
          tenant LowCardinality(String),
          ${columns},
          _version UInt64,
          _deleted UInt8
        ) ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY (tenant, id)`,
    })
}

const SINK_COLUMNS: Readonly<Record<(typeof erpTables)[number], string>> = {
  journals: `id UInt64, number String, description Nullable(String),
    created_at DateTime64(6, 'UTC'), updated_at DateTime64(6, 'UTC')`,
  journal_lines: `id UInt64, journal_id UInt64, account String, debit Decimal(18, 2), credit Decimal(18, 2),
    created_at DateTime64(6, 'UTC')`,
  cash_accounts: `id UInt64, name String, balance Decimal(18, 2),
    created_at DateTime64(6, 'UTC'), updated_at DateTime64(6, 'UTC')`,
}
