import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { z } from 'zod'
import { type App, startApp } from '../../src/app.ts'
import { type Collector, defineCollector, seconds } from '../../src/collection/collector.ts'
import { settingsWithSecrets } from '../../src/config/fields.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createLogger } from '../../src/log.ts'
import { gauge } from '../../src/metrics/family.ts'
import { temporaryFolder } from '../testbed/part.ts'

export const stock = gauge('depot_stock', 'Items of an article, counted by the test.', ['article'])
const up = gauge('depot_up', 'Whether the depot answered.')

const depotHealth = {
  key: 'depot_connection',
  title: 'Depot',
  details: z.object({ articles: z.array(z.string()) }),
}
const shopHealth = { ...depotHealth, key: 'shop', title: 'Shop' }

/** For the shape of `/health/detailed`. */
export const kinds = [
  { kind: 'depot', health: depotHealth },
  { kind: 'shop', health: shopHealth },
]

/** What the depots do, by target; a depot without an entry answers at once with nothing. */
export type Depots = Map<string, Collector['collect']>

export interface Served {
  readonly app: App
  readonly url: string
  stop(): Promise<void>
}

/** The daemon in this process, on a free loopback port, with collectors that do as the test says. */
export async function serve(depots: Depots, collectors: readonly object[]): Promise<Served> {
  const depot = defineCollector({
    kind: 'depot',
    health: depotHealth,
    settings: settingsWithSecrets({ note: z.string().optional() }, { optional: ['password'] }),
    families: [up, stock],
    up,
    defaults: { interval: seconds(1), timeout: seconds(1) },
    create: (_, { target }) => ({
      collect: async (batch, signal) => await depots.get(target)?.(batch, signal),
      health: (last) => ({
        details: { articles: [...last.samples(stock)].map(({ labels }) => labels.article) },
        problems: [...last.having(stock, 0)].map(({ article }) => `there is no ${article}`),
      }),
    }),
  })
  const shop = { ...depot, kind: 'shop', health: shopHealth }
  const folder = temporaryFolder('http')
  const file = join(folder.path, 'config.yaml')
  writeFileSync(file, stringify({ web: { listen: '127.0.0.1:0' }, collectors }))
  const config = await loadConfig(file, {
    kinds: { depot: async () => depot, shop: async () => shop },
    env: {},
  })
  const silent = createLogger({ level: 'critical', secrets: () => [], destination: { write: () => {} } })
  const app = await startApp(config, { log: silent, version: '1.2.3' })
  return {
    app,
    url: `http://127.0.0.1:${app.port}`,
    async stop() {
      await app.stop()
      folder.remove()
    },
  }
}
