import type { DatabaseSync } from 'node:sqlite'
import type { Audit } from './audit.ts'
import type { OperationResult } from './connect-operations.ts'

/** How many operations on the connectors of a cluster came out in the same way. */
export interface OperationTotal {
  readonly target: string
  readonly operation: string
  readonly result: string
  readonly count: number
}

/** Operations on connectors that have ended: audited, and counted over restarts and processes. */
export class OperationLog {
  readonly #database: DatabaseSync
  readonly #audit: Audit

  constructor(database: DatabaseSync, audit: Audit) {
    this.#database = database
    this.#audit = audit
  }

  record(
    { operation, target, connector, result, detail }: OperationResult,
    by: { readonly who: string; readonly from: string },
  ): void {
    this.#audit.record({
      ...by,
      operation: `connect ${operation}`,
      object: `${target}/${connector}`,
      result: result === 'failed' ? 'failed' : 'done',
      // The audit knows only whether it was done.
      detail: [result === 'done' || result === 'failed' ? '' : result, detail].filter(Boolean).join(': '),
    })
    this.#database
      .prepare(
        `INSERT INTO operation_totals (target, operation, result, count) VALUES (?, ?, ?, 1)
         ON CONFLICT DO UPDATE SET count = count + 1`,
      )
      .run(target, operation, result)
  }

  totals(): OperationTotal[] {
    return this.#database
      .prepare('SELECT target, operation, result, count FROM operation_totals')
      .all()
      .map(({ target, operation, result, count }) => ({
        target: String(target),
        operation: String(operation),
        result: String(result),
        count: Number(count),
      }))
  }
}
