import type { Server } from 'node:http'
import { type Clock, systemClock } from './clock.ts'
import type { FailureReporter } from './collection/collector.ts'
import { Instance, type InstanceEvents } from './collection/instance.ts'
import { connectFleets } from './collectors/connect/fleets.ts'
import type { Config, InstanceConfig } from './config/load.ts'
import { Secret } from './config/secret.ts'
import { auditRoutes } from './http/api/audit.ts'
import { checkRoutes } from './http/api/checks.ts'
import { collectorRoutes } from './http/api/collectors.ts'
import { connectorRoutes } from './http/api/connectors.ts'
import { driftRoutes } from './http/api/drift.ts'
import { environmentRoutes } from './http/api/environments.ts'
import { failureRoutes } from './http/api/failures.ts'
import { watchdogRoutes } from './http/api/watchdog.ts'
import { hostReader } from './http/host.ts'
import { httpServer } from './http/server.ts'
import { type Log, redact } from './log.ts'
import { Exposition } from './metrics/exposition.ts'
import { ownMetrics } from './metrics/own.ts'
import { callerOf } from './operations/access.ts'
import { Audit } from './operations/audit.ts'
import { collectorState } from './operations/collector-state.ts'
import { FailureLog } from './operations/failure-log.ts'
import { OperationLog } from './operations/operation-log.ts'
import { SelfHealing } from './operations/self-healing.ts'
import { openStore } from './operations/store.ts'
import { openSwitches, switched } from './operations/switches.ts'
import { Watchdog, type WatchdogEvents } from './operations/watchdog.ts'

/** The daemon's own metrics are read this often: a scrape renders nothing. */
const OWN_METRICS_EVERY_MS = 5_000

/** After this a collector that will not stop is left to the end of the process. */
const STOP_WITHIN_MS = 5_000

export interface App {
  /** The port that it listens on; the configuration's, or a free one for 0. */
  readonly port: number
  /** Takes a new configuration into force. Instances that it does not change run on undisturbed. */
  apply(config: Config): Promise<void>
  /** A new configuration was refused; the old one stays in force. */
  configRefused(): Promise<void>
  stop(): Promise<void>
}

/** Wires everything. Rejects when the address cannot be listened on. */
export async function startApp(
  initial: Config,
  options: {
    readonly log: Log
    readonly version: string
    readonly clock?: Clock
    /** Loads the configuration anew and applies it; its faults where it is refused. */
    readonly reload?: () => Promise<readonly string[]>
  },
): Promise<App> {
  const { log, version, clock = systemClock, reload = async () => ['there is no file to load'] } = options
  const exposition = new Exposition()
  let config = initial
  let instances = new Map<string, Instance>()
  const secrets = () => config.secrets.flatMap((secret) => secret.known ?? [])
  const clean = (text: string) => redact(text, secrets())
  const describe = (error: unknown) => clean(errorLine(error))
  const storeLogger = log.child({ logger: 'store' })
  const notKept = (error: unknown) =>
    storeLogger.error({ error }, 'the database of failures and operations does not work')
  const store = openStore(initial.stateDir)
  const switches = openSwitches(initial.stateDir)
  const failureLog = new FailureLog(store, { clock, bounds: () => config.history, secrets })
  const audit = new Audit(store, { clock, log, maxEntries: () => config.history.maxAuditEntries })
  const operations = new OperationLog(store, audit)
  const watchdog = new Watchdog({
    clock,
    state: collectorState(store, { collector: 'watchdog', target: '' }, notKept),
    events: watchdogEvents(log),
  })
  let counted = operations.totals()
  let isCounting = true
  const countOperations = () => {
    try {
      counted = operations.totals()
      isCounting = true
    } catch (error) {
      if (isCounting) notKept(error)
      isCounting = false
    }
    const byTarget = new Map(fleets().map((fleet) => [fleet.target, fleet]))
    return counted.map(({ target, ...rest }) => {
      const { environment = '', platform = '' } = byTarget.get(target) ?? {}
      return { target, environment, platform, ...rest }
    })
  }
  const own = ownMetrics(version, countOperations, () => watchdog.series())
  const fleets = () => connectFleets(config.collectors.map((settings) => switched(settings, switches)))
  const fleetOf = (target: string) => fleets().find((fleet) => fleet.target === target)
  const healing = new SelfHealing(store, { clock, operations, fleetOf, secrets, onError: notKept })
  /** Who is told what fails also restarts it, where the configuration says so. */
  const reporterOf = (settings: InstanceConfig): FailureReporter => {
    const reporter = failureLog.reporter(settings, notKept)
    if (settings.kind.kind !== 'connect') return reporter
    return {
      report: (open) => {
        const summary = reporter.report(open)
        return { ...summary, healing: healing.heal(settings.target, summary.open) }
      },
    }
  }

  const stateOf = ({ kind, target }: InstanceConfig) =>
    collectorState(store, { collector: kind.kind, target }, notKept)

  const present = () => [...instances.values()]

  const readHost = hostReader(initial.stateDir ?? process.cwd())
  let host = await readHost()
  const server = httpServer({
    version,
    clock,
    exposition,
    instances: present,
    describe,
    clean,
    host: () => host,
    api: {
      routes: [
        ...failureRoutes({ log: failureLog, audit }),
        ...auditRoutes(audit),
        ...collectorRoutes({ instances: present, describe, clean }),
        ...checkRoutes({ instances: present, clean }),
        ...driftRoutes({ instances: present, clean }),
        ...connectorRoutes({
          fleets,
          clock,
          operations,
          history: failureLog,
          secrets,
        }),
        ...environmentRoutes({ instances: present, switches, apply: () => apply(), audit }),
        ...watchdogRoutes(watchdog),
      ],
      callerOf: (authorization) => callerOf(config.api.tokens ?? [], authorization),
      hasTokens: () => config.api.tokens !== undefined,
      audit,
    },
    lifecycle: { enabled: () => config.enableLifecycle, instances: present, describe, clean, reload },
  })
  const port = await listen(server, initial.web)

  const events = logEvents(log)
  // One after the other: each is compared with what the one before left.
  let applying = Promise.resolve()
  const ending = new AbortController()
  const apply = (next?: Config) => {
    applying = applying
      .catch(() => {})
      .then(async () => {
        if (!ending.signal.aborted) await applyNow(next)
      })
    return applying
  }
  /** Without a configuration: the one in force, and what was switched since. */
  const applyNow = async (next: Config | undefined) => {
    config = next ?? config
    if (next) await watchdog.apply(next.watchdog)
    const wanted = new Map(
      config.collectors
        .map((settings) => switched(settings, switches))
        .map((settings) => [fingerprint(settings), settings]),
    )
    const gone = [...instances].filter(([key]) => !wanted.has(key))
    const running = new Map<string, Instance>()
    for (const [key, settings] of wanted) {
      running.set(
        key,
        instances.get(key) ??
          new Instance(settings, clock, exposition, events, reporterOf(settings), stateOf(settings)),
      )
    }
    const added = [...running].filter(([key]) => !instances.has(key))
    instances = running
    // One that does not close well is no reason to go without the new ones.
    await within(STOP_WITHIN_MS, Promise.allSettled(gone.map(([, instance]) => instance.stop())))
    await within(
      STOP_WITHIN_MS,
      healing.stop((target) => fleetOf(target)?.enabled === true),
    )
    await Promise.all(added.map(([, instance]) => instance.start()))
    if (next) own.configLoaded(true, clock.now())
    await refresh()
  }
  const refresh = async () => {
    host = await readHost()
    exposition.setOwn(await own.text())
    await exposition.publish()
  }
  await apply(initial)

  const refreshing = (async () => {
    while (!ending.signal.aborted) {
      await clock.sleep(OWN_METRICS_EVERY_MS, ending.signal).catch(() => {})
      await refresh()
    }
  })()

  return {
    port,
    apply,
    async configRefused() {
      own.configLoaded(false, clock.now())
      await refresh()
    },
    async stop() {
      ending.abort()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeIdleConnections()
      // What it begins has to be there to be stopped.
      await within(
        STOP_WITHIN_MS,
        applying.catch(() => {}),
      )
      await within(
        STOP_WITHIN_MS,
        Promise.allSettled([
          refreshing,
          healing.stop(),
          watchdog.stop(),
          ...[...instances.values()].map((instance) => instance.stop()),
        ]),
      )
      server.closeAllConnections()
      await closed
      store.close()
    },
  }
}

/** An error and its causes in one line: `A: B: C`. */
export function errorLine(error: unknown): string {
  const parts: string[] = []
  const seen = new Set<unknown>()
  for (let next = error; next instanceof Error && !seen.has(next); next = next.cause) {
    seen.add(next)
    // An error of several has their messages, and often none of its own.
    const text =
      next.message || (next instanceof AggregateError ? next.errors.map(errorLine).join(', ') : next.name)
    if (!parts.at(-1)?.includes(text)) parts.push(text)
  }
  return (parts.length > 0 ? parts.join(': ') : String(error)).replace(/\s+/g, ' ')
}

/** Changes of state, one line each; a run that goes as the last one went says nothing. */
function logEvents(log: Log): InstanceEvents {
  const logger = log.child({ logger: 'scheduler' })
  const context = ({ settings }: Instance) => ({ collector: settings.kind.kind, target: settings.target })
  return {
    failed: (instance, reason, error) =>
      logger.warning({ ...context(instance), reason, error }, 'collection failed'),
    recovered: (instance) => logger.info(context(instance), 'collection works again'),
    found: (instance, labels, { words, about }, isOver) => {
      const subject = { ...context(instance), ...labels }
      if (isOver) logger.info(subject, words.ends)
      else logger.warning({ ...subject, ...about }, words.begins)
    },
    checked: (instance, { check, subject, ok, message, remedy }) => {
      const about = { ...context(instance), check: check.name, ...(subject === '' ? {} : { subject }) }
      if (ok) logger.info({ ...about, found: message }, 'a check is good again')
      else logger.warning({ ...about, level_of_check: check.level, found: message, remedy }, 'a check fails')
    },
    seriesDropped: (instance, byFamily) =>
      logger.warning(
        {
          ...context(instance),
          max_series: instance.settings.maxSeries,
          dropped: Object.fromEntries(byFamily),
        },
        'series were not taken: see max_series and cdc_series_dropped_total',
      ),
    partsFailed: (instance, parts) =>
      logger.warning(
        {
          ...context(instance),
          failed_parts: parts.length,
          parts: parts.slice(0, 10).map(({ labels, cause }) => ({ ...labels, error: errorLine(cause) })),
        },
        'a part of the backend was not read',
      ),
  }
}

function watchdogEvents(log: Log): WatchdogEvents {
  const logger = log.child({ logger: 'watchdog' })
  const about = (prometheus: string, since: number) => ({
    ...(prometheus === '' ? {} : { prometheus }),
    since: new Date(since).toISOString(),
  })
  return {
    away: (prometheus, since) => logger.error(about(prometheus, since), 'the Watchdog stays away'),
    back: (prometheus, since) => logger.info(about(prometheus, since), 'the Watchdog is back'),
    notTold: (receiver, error, last) =>
      logger.error(
        { receiver, error },
        last ? 'a receiver was not reached, and is given up' : 'a receiver was not reached',
      ),
    broken: (error) => logger.critical({ error }, "the dead-man's switch does not work"),
  }
}

/** Equal for settings that make the same instance; a changed secret counts. */
function fingerprint({ kind, ...rest }: InstanceConfig): string {
  return JSON.stringify({ kind: kind.kind, ...rest }, function (this: Record<string, unknown>, key, value) {
    const original = this[key]
    if (original instanceof Secret) return [original.file ?? '', original.reveal()]
    return original instanceof RegExp ? String(original) : value
  })
}

async function listen(server: Server, { host, port }: Config['web']): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve)
  try {
    await promise
  } catch (error) {
    throw new Error(`cannot listen on ${host ?? ''}:${port} (web.listen)`, { cause: error })
  }
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, timeout])
  clearTimeout(timer)
}
