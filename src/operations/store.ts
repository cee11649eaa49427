import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Raised with each change of the tables below. */
const VERSION = 3

/** Another process, such as the command line, holds the file for an instant only. */
const BUSY_MS = 2_000

/** What each version added to the one before. */
const TABLES = [
  `
  CREATE TABLE failures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    environment TEXT NOT NULL,
    platform TEXT NOT NULL,
    connector TEXT NOT NULL,
    task TEXT NOT NULL,
    team TEXT NOT NULL,
    labels TEXT NOT NULL,
    worker TEXT NOT NULL,
    exception_class TEXT NOT NULL,
    root_class TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    ended_at INTEGER,
    resolved_at INTEGER,
    resolution TEXT,
    resolved_by TEXT,
    root_cause TEXT NOT NULL
  ) STRICT;
  -- Apart, so that lists and counts do not read through them.
  CREATE TABLE traces (
    failure INTEGER PRIMARY KEY REFERENCES failures ON DELETE CASCADE,
    trace TEXT NOT NULL
  ) STRICT;
  CREATE INDEX failures_persisting ON failures (target) WHERE ended_at IS NULL;
  CREATE INDEX failures_by_connector ON failures (target, connector, task);
  CREATE INDEX failures_by_time ON failures (opened_at);
  CREATE TABLE totals (
    target TEXT NOT NULL,
    connector TEXT NOT NULL,
    failures INTEGER NOT NULL,
    recoveries INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (target, connector)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    origin TEXT NOT NULL,
    operation TEXT NOT NULL,
    object TEXT NOT NULL,
    result TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX audit_by_result ON audit (result, id);
`,
  `
  CREATE TABLE operation_totals (
    target TEXT NOT NULL,
    operation TEXT NOT NULL,
    result TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (target, operation, result)
  ) STRICT, WITHOUT ROWID;
  -- What self-healing did, kept as long as it bounds what it may do.
  CREATE TABLE healing (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    connector TEXT NOT NULL,
    at INTEGER NOT NULL,
    dry_run INTEGER NOT NULL,
    -- Whether what came of it is known and audited.
    ended INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX healing_by_connector ON healing (target, connector, at);
`,
  `
  CREATE TABLE collector_state (
    collector TEXT NOT NULL,
    target TEXT NOT NULL,
    key TEXT NOT NULL,
    -- JSON.
    value TEXT NOT NULL,
    PRIMARY KEY (collector, target, key)
  ) STRICT, WITHOUT ROWID;
`,
]

export function storeFile(folder: string): string {
  return join(folder, 'cdc-exporter.sqlite')
}

/**
 * The database of failures, audit and collectors' state in `folder`, which is made where it is not there, or in memory. The file
 * is whole after kill -9 and loses nothing by it; a loss of power may take the last moments. Other processes
 * may read and write it at the same time. Throws with the name of the file.
 */
export function openStore(folder: string | undefined): DatabaseSync {
  const file = folder === undefined ? ':memory:' : storeFile(folder)
  try {
    if (folder !== undefined) mkdirSync(folder, { recursive: true, mode: 0o700 })
    const database = new DatabaseSync(file, { timeout: BUSY_MS })
    try {
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
      prepareTables(database)
    } catch (error) {
      database.close()
      throw error
    }
    return database
  } catch (error) {
    throw new Error(`cannot open ${file}`, { cause: error })
  }
}

function prepareTables(database: DatabaseSync): void {
  transaction(database, () => {
    const version = Number(database.prepare('PRAGMA user_version').get()?.user_version)
    if (version > VERSION) throw new Error('it was written by a newer cdc-exporter')
    if (version === VERSION) return
    database.exec(`${TABLES.slice(version).join('')} PRAGMA user_version = ${VERSION}`)
  })
}

/** All of `work`, or nothing of it. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}
