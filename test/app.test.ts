import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { stringify } from 'yaml'
import { z } from 'zod'
import { startApp } from '../src/app.ts'
import { defineCollector, seconds } from '../src/collection/collector.ts'
import { loadConfig } from '../src/config/load.ts'
import { createLogger } from '../src/log.ts'
import { gauge } from '../src/metrics/family.ts'
import { temporaryFolder } from './testbed/part.ts'

const up = gauge('depot_up', 'Whether the depot answered.')

describe('a stop', () => {
  it('leaves nothing running of a configuration that is being taken into force', async () => {
    const folder = temporaryFolder('app')
    onTestFinished(() => folder.remove())
    const made: string[] = []
    const stopped: string[] = []
    const depot = defineCollector({
      kind: 'depot',
      health: { key: 'depot', title: 'Depot', details: z.object({}) },
      settings: z.strictObject({}),
      families: [up],
      up,
      defaults: { interval: seconds(1), timeout: seconds(1) },
      create: (_, { target }) => {
        made.push(target)
        return { collect: async () => {}, stop: async () => void stopped.push(target) }
      },
    })
    const configOf = async (...targets: string[]) => {
      const file = join(folder.path, `${targets.join('-')}.yaml`)
      const collectors = targets.map((target) => ({ kind: 'depot', target }))
      writeFileSync(file, stringify({ web: { listen: '127.0.0.1:0' }, collectors }))
      return await loadConfig(file, { kinds: { depot: async () => depot }, env: {} })
    }
    const log = createLogger({ level: 'critical', secrets: () => [], destination: { write: () => {} } })
    const [first, second, third] = await Promise.all([configOf('a'), configOf('a', 'b'), configOf('c')])
    const app = await startApp(first, { log, version: '1.2.3' })
    await app.apply(second)
    const applied = app.apply(third)
    await app.stop()
    await applied
    await app.apply(third)
    expect(made.slice(0, 2)).toEqual(['a', 'b'])
    expect(stopped.toSorted()).toEqual(made.toSorted())
  })
})
