import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'

/** The daemon's own metrics: prom-client's `process_*` and `nodejs_*`, and what is said of build and configuration. */
export interface OwnMetrics {
  /** `at`: wall milliseconds of the attempt. A bad one leaves the time of the last good one. */
  configLoaded(success: boolean, at: number): void
  /** The text exposition, read anew. */
  text(): Promise<string>
}

/** `operations`: how many there have been, asked at each reading. */
export function ownMetrics(
  version: string,
  operations: () => Iterable<{
    readonly target: string
    /** Empty for none; so is the platform. */
    readonly environment: string
    readonly platform: string
    readonly operation: string
    readonly result: string
    readonly count: number
  }>,
): OwnMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  new Gauge({
    name: 'cdc_exporter_build_info',
    help: 'Version of the exporter and of the Node.js that runs it; always 1.',
    labelNames: ['version', 'nodejs_version'],
    registers: [registry],
  }).set({ version, nodejs_version: process.version }, 1)
  const successful = new Gauge({
    name: 'cdc_config_last_reload_successful',
    help: 'Whether the last attempt to load the configuration was good.',
    registers: [registry],
  })
  const time = new Gauge({
    name: 'cdc_config_last_reload_success_timestamp_seconds',
    help: 'When the configuration in force was loaded.',
    registers: [registry],
  })
  new Counter({
    name: 'kafka_connect_operations_total',
    help: 'Operations on connectors by API, command line and self-healing, by what came of them: done, unconfirmed, failed, skipped; from the database in state_dir.',
    labelNames: ['target', 'environment', 'platform', 'operation', 'result'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { count, ...labels } of operations()) {
        this.inc(Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== '')), count)
      }
    },
  })
  return {
    configLoaded(success, at) {
      successful.set(Number(success))
      if (success) time.set(at / 1000)
    },
    // What has not been measured yet: prom-client writes it as `Nan`, which the format does not know.
    text: async () => (await registry.metrics()).replaceAll(/^[^#\n].* Nan\n/gm, ''),
  }
}
