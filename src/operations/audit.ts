import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Page } from './failure-log.ts'
import { transaction } from './store.ts'

export interface AuditEntry {
  /** Name of a token or, on the command line, of the user of the machine. */
  readonly who: string
  /** From where: an address, or `command line`. */
  readonly from: string
  /** `failures resolve`, `connect restart`. */
  readonly operation: string
  /** On what: `erp-connect/orders`, `erp-connect/orders/0`. */
  readonly object: string
  readonly result: 'done' | 'failed' | 'refused'
  /** Why it failed or was refused; empty where there is nothing to say. */
  readonly detail: string
}

export interface AuditFilter {
  readonly who?: string | undefined
  readonly operation?: string | undefined
  readonly result?: string | undefined
}

/** A path that was refused is whatever somebody sent. */
const LONGEST_TEXT = 500

/** Who did what, kept in the database of `openStore` and told to the log. */
export class Audit {
  readonly #database: DatabaseSync
  readonly #clock: Clock
  readonly #log: Pick<Log, 'info' | 'warning'> | undefined
  readonly #maxEntries: () => number

  constructor(
    database: DatabaseSync,
    options: { readonly clock: Clock; readonly log?: Log; readonly maxEntries: () => number },
  ) {
    this.#database = database
    this.#clock = options.clock
    this.#log = options.log?.child({ logger: 'audit' })
    this.#maxEntries = options.maxEntries
  }

  record({ who, from, operation, result, ...texts }: AuditEntry): void {
    const object = texts.object.slice(0, LONGEST_TEXT)
    const detail = texts.detail.slice(0, LONGEST_TEXT)
    const context = { who, from, operation, object, result, ...(detail === '' ? {} : { detail }) }
    if (result === 'done') this.#log?.info(context, `${operation}: done`)
    else this.#log?.warning(context, `${operation}: ${result}`)
    transaction(this.#database, () => {
      this.#database
        .prepare(
          `INSERT INTO audit (at, who, origin, operation, object, result, detail) VALUES (?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(this.#clock.now(), who, from, operation, object, result, detail)
      // Anyone who reaches the port can be refused, so refusals may not crowd out what was done.
      const half = Math.ceil(this.#maxEntries() / 2)
      this.#forget("result = 'refused'", half)
      this.#forget("result <> 'refused'", this.#maxEntries() - half)
    })
  }

  /** The newest first; times are wall milliseconds. */
  list(
    { who, operation, result }: AuditFilter,
    { limit, offset }: Page,
  ): { items: (AuditEntry & { readonly id: number; readonly at: number })[]; total: number } {
    const wanted = Object.entries({ who, operation, result }).flatMap(([column, value]) =>
      value === undefined ? [] : [{ column, value }],
    )
    const where = wanted.map(({ column }) => ` AND ${column} = ?`).join('')
    const values = wanted.map(({ value }) => value)
    const rows = this.#database
      .prepare(`SELECT * FROM audit WHERE true${where} ORDER BY id DESC LIMIT ? OFFSET ?`)
      .all(...values, limit, offset)
    const count = this.#database.prepare(`SELECT count(*) AS n FROM audit WHERE true${where}`).get(...values)
    const items = rows.map((row) => ({
      id: Number(row.id),
      at: Number(row.at),
      who: String(row.who),
      from: String(row.origin),
      operation: String(row.operation),
      object: String(row.object),
      result: String(row.result) as AuditEntry['result'],
      detail: String(row.detail),
    }))
    return { items, total: Number(count?.n) }
  }

  #forget(where: string, keep: number): void {
    this.#database
      .prepare(
        `DELETE FROM audit WHERE id <= (
           SELECT id FROM audit WHERE ${where} ORDER BY id DESC LIMIT 1 OFFSET ?) AND ${where}`,
      )
      .run(keep)
  }
}
