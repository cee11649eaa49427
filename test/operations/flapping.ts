// A daemon in a process of its own, to be killed: its collector reports other failures in each run, as fast as
// it can. On standard output, after each report, how many failures there have been: they are kept by then.
import { startApp } from '../../src/app.ts'
import { defineCollector, seconds } from '../../src/collection/collector.ts'
import { settings } from '../../src/config/fields.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createLogger } from '../../src/log.ts'
import { observed } from './observed.ts'

const flapping = defineCollector({
  kind: 'flapping',
  health: { key: 'flapping', title: 'Flapping' },
  settings: settings({}),
  families: [],
  defaults: { interval: seconds(1), timeout: seconds(1) },
  create: (_, { failures }) => ({
    async collect() {
      for (let run = 0; run < 50; run++) {
        const { totals } = failures.report(
          Array.from({ length: 5 }, (_, i) => observed({ connector: `c${(run + i) % 10}` })),
        )
        const count = [...totals.values()].reduce((sum, { failures }) => sum + failures, 0)
        process.stdout.write(`${count}\n`)
      }
    },
  }),
})

await startApp(
  await loadConfig(process.argv[2] ?? '', { kinds: { flapping: async () => flapping }, env: {} }),
  {
    log: createLogger({ level: 'critical', secrets: () => [] }),
    version: '1.2.3',
  },
)
