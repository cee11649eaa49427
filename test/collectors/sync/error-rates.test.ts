import { expect, test } from 'vitest'
import { stateInMemory } from '../../../src/collection/kept-state.ts'
import { ErrorRates } from '../../../src/collectors/sync/error-rates.ts'
import { Ledger, nameOf } from '../../../src/collectors/sync/ledger.ts'

const MINUTE = 60_000

test('errors are compared with what was processed in the last five minutes', () => {
  const ledger = new Ledger(stateInMemory(), '')
  const [orders, users] = ['orders', 'users'].map((table) => ({ tenant: 'a', table }))
  const rates = new ErrorRates()
  let at = 0
  /** A quarter of a minute later so many more of the orders. */
  function pass(processed: number, failed: number): void {
    if (!orders || !users) throw new Error('no tables')
    const table = ledger.table(orders)
    table.processed.set('insert', (table.processed.get('insert') ?? 0) + processed)
    table.failed.set('validation', (table.failed.get('validation') ?? 0) + failed)
    ledger.table(users).processed.set('update', at)
    at += MINUTE / 4
    rates.observe(ledger.tables, at)
  }
  const of = (...tables: (typeof orders)[]) =>
    rates.of(tables.map((table) => nameOf(table ?? { tenant: '', table: '' })))

  // Counts of before the start are no errors of now.
  pass(1_000, 500)
  expect(of(orders)).toBeUndefined()
  pass(80, 20)
  expect(of(orders)).toBe(0.25)
  // More dead letters than were committed past: the commit is still to come.
  pass(0, 80)
  expect(of(orders)).toBe(1)
  for (let i = 0; i < 4 * 7; i++) pass(10, 0)
  expect(of(orders)).toBe(0)
  for (let i = 0; i < 4 * 4; i++) pass(10, 1)
  const rate = of(orders) ?? Number.NaN
  expect(rate).toBeGreaterThan(0.05)
  expect(rate).toBeLessThanOrEqual(0.1)
  expect(of(orders, users)).toBeLessThan(rate)
  expect(of({ tenant: 'a', table: 'unknown' })).toBeUndefined()
})
