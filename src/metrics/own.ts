import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'

/** The daemon's own metrics: prom-client's `process_*` and `nodejs_*`, and what is said of build and configuration. */
export interface OwnMetrics {
  /** `at`: wall milliseconds of the attempt. A bad one leaves the time of the last good one. */
  configLoaded(success: boolean, at: number): void
  /** The text exposition, read anew. */
  text(): Promise<string>
}

/** `operations`: how many there have been; `watchdog`: the dead-man's switches. Both are asked at each reading. */
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
  watchdog: () => {
    readonly switches: Iterable<{
      /** Empty for the only one. */
      readonly prometheus: string
      readonly ok: boolean
      /** Wall milliseconds. */
      readonly receivedAt: number | undefined
    }>
    readonly notifications: Iterable<{
      readonly receiver: string
      readonly result: string
      readonly count: number
    }>
  },
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
  const ofSwitch = (prometheus: string) => (prometheus === '' ? {} : { prometheus })
  new Gauge({
    name: 'cdc_watchdog_ok',
    help: "0 from when Alertmanager's Watchdog has stayed away for watchdog.timeout until it is back, else 1; by POST /api/v1/watchdog. Absent without a dead-man's switch.",
    labelNames: ['prometheus'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { prometheus, ok } of watchdog().switches) this.set(ofSwitch(prometheus), Number(ok))
    },
  })
  new Gauge({
    name: 'cdc_watchdog_last_received_timestamp_seconds',
    help: "When Alertmanager's Watchdog came last, by POST /api/v1/watchdog; absent until the first.",
    labelNames: ['prometheus'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { prometheus, receivedAt } of watchdog().switches) {
        if (receivedAt !== undefined) this.set(ofSwitch(prometheus), receivedAt / 1000)
      }
    },
  })
  new Counter({
    name: 'cdc_watchdog_notifications_total',
    help: 'Tries to tell a receiver of watchdog.notify that the Watchdog stays away or is back, by what came of them: sent, failed.',
    labelNames: ['receiver', 'result'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { receiver, result, count } of watchdog().notifications)
        this.inc({ receiver, result }, count)
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
