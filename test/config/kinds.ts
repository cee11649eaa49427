import { z } from 'zod'
import { type CollectorKinds, defineCollector, seconds } from '../../src/collection/collector.ts'
import {
  boolean,
  hostList,
  httpUrl,
  integer,
  pattern,
  settings,
  settingsWithSecrets,
  size,
} from '../../src/config/fields.ts'
import { counter, gauge } from '../../src/metrics/family.ts'

/** Kinds with settings of every sort, for the loader: they collect nothing. */
const queue = defineCollector({
  kind: 'queue',
  health: { key: 'queue_connection', title: 'Queue' },
  settings: settingsWithSecrets(
    {
      brokers: hostList(),
      granularity: z.enum(['topic', 'partition']).default('partition').describe('How fine its series are.'),
      fetch_size: size().optional(),
      page: integer(1, 100).default(10),
      tls: boolean().default(false),
      topics: z.array(settings({ match: pattern(), lag_threshold: integer(0).optional() })).default([]),
    },
    { optional: ['password'] },
  ),
  families: [gauge('queue_lag', 'A lag.', ['topic', 'partition'])],
  defaults: { interval: seconds(15), timeout: seconds(10) },
  create: () => ({ collect: async () => {} }),
})

const side = (name: string) => settings({ [name]: settingsWithSecrets({}, { required: ['url'] }) })

const compare = defineCollector({
  kind: 'compare',
  health: { key: 'compare', title: 'Comparison' },
  settings: settings({
    source: z.union([side('postgresql'), side('clickhouse')]),
    api: httpUrl().optional(),
    check: z
      .discriminatedUnion('type', [
        settings({ type: z.literal('count'), tolerance: integer(0).default(0) }),
        settings({ type: z.literal('sum'), column: z.string() }),
      ])
      .optional(),
  }),
  families: [],
  defaults: { interval: seconds(300), timeout: seconds(60) },
  create: () => ({ collect: async () => {} }),
})

/** Its families are named by the configuration. */
const tally = defineCollector({
  kind: 'tally',
  health: { key: 'tally', title: 'Tally' },
  settings: settings({
    counts: z
      .array(
        settings({ name: z.string(), help: z.string().default('Counted.'), label: z.string().default('of') }),
      )
      .transform((counts) => counts.map(({ name, help, label }) => counter(name, help, [label]))),
  }),
  families: [],
  declared: ({ counts }) => counts.map((family, index) => ({ family, path: ['counts', index, 'name'] })),
  defaults: { interval: seconds(15), timeout: seconds(10) },
  create: () => ({ collect: async () => {} }),
})

export const kinds: CollectorKinds = {
  queue: async () => queue,
  compare: async () => compare,
  tally: async () => tally,
}
