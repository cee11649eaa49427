import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CollectorContext } from '../../src/collection/collector.ts'
import { stateInMemory } from '../../src/collection/kept-state.ts'
import { collectorState } from '../../src/operations/collector-state.ts'
import { openStore } from '../../src/operations/store.ts'
import { temporaryFolder } from '../testbed/part.ts'

let folder: ReturnType<typeof temporaryFolder>

beforeEach(() => {
  folder = temporaryFolder('collector-state')
})
afterEach(() => folder.remove())

const changes = (entries: Record<string, unknown>) => new Map(Object.entries(entries))
const content = (state: CollectorContext['state']) => Object.fromEntries(state.load())

test('what was saved is there after the file was opened anew, of each instance its own', () => {
  let store = openStore(folder.path)
  const erp = { collector: 'sync', target: 'erp' }
  collectorState(store, erp, fail).save(changes({ a: 1, b: [null, { c: 'd' }] }))
  collectorState(store, { ...erp, target: 'other' }, fail).save(changes({ a: 2 }))
  collectorState(store, { ...erp, collector: 'kafka' }, fail).save(changes({ a: 3 }))
  store.close()
  store = openStore(folder.path)
  const state = collectorState(store, erp, fail)
  expect(content(state)).toEqual({ a: 1, b: [null, { c: 'd' }] })
  state.save(changes({ a: undefined, b: 'e' }))
  expect(content(state)).toEqual({ b: 'e' })
  expect(content(collectorState(store, { ...erp, target: 'other' }, fail))).toEqual({ a: 2 })
  store.close()
})

test('what cannot be written is said once, and written with the next change', () => {
  const store = openStore(folder.path)
  const errors: unknown[] = []
  const state = collectorState(store, { collector: 'sync', target: 'erp' }, (error) => errors.push(error))
  store.exec('PRAGMA query_only = ON')
  state.save(changes({ a: 1, b: 1 }))
  state.save(changes({ a: 2 }))
  expect(errors).toHaveLength(1)
  expect(content(state)).toEqual({})
  store.exec('PRAGMA query_only = OFF')
  state.save(changes({ c: 3 }))
  expect(content(state)).toEqual({ a: 2, b: 1, c: 3 })
  store.close()
})

test('in memory: the same, and no more than a copy', () => {
  const state = stateInMemory()
  const value = { counts: [1] }
  state.save(changes({ a: value, b: 1 }))
  value.counts.push(2)
  state.save(changes({ b: undefined }))
  expect(content(state)).toEqual({ a: { counts: [1] } })
})

function fail(error: unknown): never {
  throw error
}
