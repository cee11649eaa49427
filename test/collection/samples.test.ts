import { expect, test } from 'vitest'
import { z } from 'zod'
import { systemClock } from '../../src/clock.ts'
import { type CollectorContext, defineCollector, seconds } from '../../src/collection/collector.ts'
import { Instance } from '../../src/collection/instance.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { gauge } from '../../src/metrics/family.ts'
import { waitFor } from '../testbed/process.ts'

const stock = gauge('depot_stock', 'Items of an article.', ['article'])

const events = { failed() {}, recovered() {}, partsFailed() {}, seriesDropped() {} }

test('a collector sees what others last committed, with their labels, until they are gone', async () => {
  const exposition = new Exposition()
  const contexts: CollectorContext[] = []
  const instance = (target: string, articles: Record<string, number>) => {
    const kind = defineCollector({
      kind: 'depot',
      health: { key: 'depot', title: 'Depot' },
      settings: z.unknown(),
      families: [stock],
      defaults: { interval: seconds(10), timeout: seconds(8) },
      create(_, context) {
        contexts.push(context)
        return {
          async collect(batch) {
            for (const [article, value] of Object.entries(articles)) batch.add(stock, { article }, value)
          },
        }
      },
    })
    return new Instance(
      {
        kind,
        target,
        enabled: true,
        labels: { target, environment: 'test' },
        interval: seconds(10),
        timeout: seconds(8),
        maxSeries: 10,
        settings: {},
      },
      systemClock,
      exposition,
      events,
      { report: () => ({ open: [], totals: new Map() }) },
    )
  }
  const north = instance('north', { 'a"b': 1, c: 2.5 })
  const south = instance('south', { c: 7 })
  const [first] = contexts
  expect(first?.samples('depot_stock')).toEqual([])
  await Promise.all([north.start(), south.start()])
  await waitFor('both to have run', async () => first?.samples('depot_stock').length === 3)
  const ofSouth = { labels: { target: 'south', environment: 'test', article: 'c' }, value: 7 }
  expect(first?.samples('depot_stock')).toEqual([
    { labels: { target: 'north', environment: 'test', article: 'a"b' }, value: 1 },
    { labels: { target: 'north', environment: 'test', article: 'c' }, value: 2.5 },
    ofSouth,
  ])
  expect(first?.samples('depot_stock_of_nobody')).toEqual([])
  await north.stop()
  expect(first?.samples('depot_stock')).toEqual([ofSouth])
  await south.stop()
})
