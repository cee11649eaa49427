import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { Audit, type AuditEntry } from '../../src/operations/audit.ts'
import { openStore } from '../../src/operations/store.ts'

const ALL = { limit: 1000, offset: 0 }

let store: ReturnType<typeof openStore>
let audit: Audit
beforeEach(() => {
  store = openStore(undefined)
  audit = new Audit(store, { clock: systemClock, maxEntries: () => 10 })
})
afterEach(() => store.close())

function record(change: Partial<AuditEntry>) {
  const entry: AuditEntry = {
    who: 'ada',
    from: '10.0.0.9',
    operation: 'connect restart',
    object: 'erp/orders',
    result: 'done',
    detail: '',
  }
  audit.record({ ...entry, ...change })
}

test('refused tries, however many, push out nothing that was done', () => {
  for (let i = 0; i < 3; i++) record({ object: `erp/${i}` })
  for (let i = 0; i < 100; i++) record({ who: 'unknown', result: 'refused' })
  expect(audit.list({ result: 'done' }, ALL).items.map(({ object }) => object)).toEqual([
    'erp/2',
    'erp/1',
    'erp/0',
  ])
  expect(audit.list({}, ALL).total).toBe(8)
})

test('of what was done or failed the newest stay', () => {
  for (let i = 0; i < 20; i++) record({ object: `erp/${i}`, result: i % 2 === 0 ? 'done' : 'failed' })
  expect(audit.list({}, ALL).items.map(({ object }) => object)).toEqual(
    [19, 18, 17, 16, 15].map((i) => `erp/${i}`),
  )
})

test('a long text is cut', () => {
  record({ object: 'x'.repeat(16_000), result: 'refused' })
  expect(audit.list({}, ALL).items[0]?.object).toBe('x'.repeat(500))
})

test('it is filtered and paged', () => {
  record({ who: 'lea', operation: 'failures resolve' })
  record({ detail: 'the worker did not answer', result: 'failed' })
  expect(audit.list({ who: 'lea' }, ALL)).toMatchObject({
    total: 1,
    items: [{ operation: 'failures resolve' }],
  })
  expect(audit.list({ operation: 'connect restart', result: 'failed' }, ALL).items[0]?.detail).toBe(
    'the worker did not answer',
  )
  expect(audit.list({}, { limit: 1, offset: 1 })).toMatchObject({ total: 2, items: [{ who: 'lea' }] })
})
