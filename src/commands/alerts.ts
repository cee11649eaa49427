import { readdirSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { z } from 'zod'
import { type Clock, systemClock } from '../clock.ts'
import { nearestName } from '../config/issues.ts'
import { plainTable, printable } from './plain-table.ts'
import { UsageError } from './usage-error.ts'

// A sample of an alert goes through the user's Alertmanager, as Prometheus would send it. Its label `test` keeps it apart
// from what is real: the shipped routes group by it, no sample mutes a real alert, and each message begins with TEST.

export interface AlertsTestOptions {
  readonly alertmanager: string
  /** Folder of the rules; those that come with the package where absent. */
  readonly rules?: string
  readonly label: Readonly<Record<string, string>>
  /** Milliseconds in which its receivers have to have sent it. */
  readonly within: number
  readonly json?: boolean
}

/** The alert that is sent where none is named: of no rule. */
const NAMELESS = { name: 'CdcAlertsTest', labels: { severity: 'warning' }, annotations: {} }

const ANSWER_WITHIN_MS = 10_000
const LOOK_EVERY_MS = 1_000

/** What went out by one integration of Alertmanager, such as `slack`, since the sample: of other alerts too. */
interface Sent {
  readonly integration: string
  readonly requests: number
  readonly failed: number
}

interface Outcome {
  readonly alert: string
  readonly labels: Readonly<Record<string, string>>
  readonly receivers: readonly { readonly name: string; readonly integrations: readonly string[] }[]
  readonly integrations: readonly Sent[]
  readonly ok: boolean
  /** Null where all is well. */
  readonly problem: string | null
}

/** Sends it, waits until it has been sent on, and ends it. Resolves to whether every receiver of its route was reached. */
export async function testAlerts(
  name: string | undefined,
  options: AlertsTestOptions,
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<boolean> {
  const alertmanager = alertmanagerAt(options.alertmanager, signal)
  const { name: alertname, labels: ofRule, annotations } = sampleOf(name, options.rules)
  const labels = { alertname, ...ofRule, target: 'alerts-test', ...options.label, test: 'true' }
  const startsAt = new Date(clock.now()).toISOString()
  const post = (endsAt: number, signal?: AbortSignal) =>
    alertmanager.post([{ labels, annotations, startsAt, endsAt: new Date(endsAt).toISOString() }], signal)

  const integrationsOf = await alertmanager.integrations()
  const before = await alertmanager.requests()
  // It ends by itself, should nobody be there to end it.
  await post(clock.now() + options.within + 60_000)
  try {
    const outcome = await watch()
    print(outcome, options)
    return outcome.ok
  } finally {
    // Interrupted or not: with a time of its own.
    await post(clock.now(), AbortSignal.timeout(ANSWER_WITHIN_MS))
  }

  async function watch(): Promise<Outcome> {
    const until = clock.monotonic() + options.within
    for (;;) {
      const status = await alertmanager.status(labels)
      const receivers = (status?.receivers ?? []).map((name) => ({
        name,
        integrations: integrationsOf.get(name) ?? [],
      }))
      const expected = [...new Set(receivers.flatMap(({ integrations }) => integrations))]
      const after = await alertmanager.requests()
      const integrations = expected.map((integration) => ({
        integration,
        requests: (after.get(integration)?.requests ?? 0) - (before.get(integration)?.requests ?? 0),
        failed: (after.get(integration)?.failed ?? 0) - (before.get(integration)?.failed ?? 0),
      }))
      const outcome = { alert: alertname, labels, receivers, integrations }
      const muted = status?.mutedBy
      if (muted !== undefined) return { ...outcome, ok: false, problem: muted }
      const isSent = expected.length > 0 && integrations.every(({ requests }) => requests > 0)
      if (isSent || clock.monotonic() >= until) {
        const problem = status ? problemOf(integrations) : 'Alertmanager does not know the sample'
        return { ...outcome, ok: problem === null, problem }
      }
      await clock.sleep(LOOK_EVERY_MS, signal)
    }
  }
}

function problemOf(integrations: readonly Sent[]): string | null {
  if (integrations.length === 0) return 'its route leads to a receiver that sends nothing'
  const failed = integrations.filter(({ failed }) => failed > 0).map(({ integration }) => integration)
  if (failed.length > 0) return `not taken from ${failed.join(', ')}: Alertmanager's log says why`
  const missing = integrations.filter(({ requests }) => requests === 0).map(({ integration }) => integration)
  if (missing.length === 0) return null
  return `nothing was sent by ${missing.join(', ')}: a longer group_wait than --within, or a time interval that mutes`
}

const ruleFile = z.looseObject({
  groups: z.array(
    z.looseObject({
      rules: z.array(
        z.looseObject({
          alert: z.string().optional(),
          labels: z.record(z.string(), z.string()).default({}),
          annotations: z.record(z.string(), z.string()).default({}),
        }),
      ),
    }),
  ),
})

/** What a rule writes on each of its alerts, but for what it takes from series. */
function sampleOf(name: string | undefined, folder = shippedRules()) {
  const rule = name === undefined ? NAMELESS : ruleNamed(name, folder)
  const fixed = (texts: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(texts).filter(([, text]) => !text.includes('{{')))
  const { summary, runbook_url, dashboard_url } = fixed(rule.annotations)
  return {
    name: rule.name,
    labels: fixed(rule.labels),
    annotations: {
      summary: `A test of the route, nothing is wrong${summary === undefined ? '.' : `: ${summary}`}`,
      description: `Sent by cdc-exporter alerts test on ${hostname()}.`,
      first_step: 'Nothing is to be done.',
      ...(runbook_url === undefined ? {} : { runbook_url }),
      ...(dashboard_url === undefined ? {} : { dashboard_url }),
    },
  }
}

function ruleNamed(name: string, folder: string) {
  const files = readdirSync(folder).filter((file) => file.endsWith('.yml'))
  const rules = files.flatMap((file) => {
    const { groups } = ruleFile.parse(parse(readFileSync(join(folder, file), 'utf8')))
    return groups.flatMap(({ rules }) => rules)
  })
  const names = rules.flatMap(({ alert }) => alert ?? [])
  const rule = rules.find(({ alert }) => alert === name)
  if (name === 'Watchdog') {
    throw new UsageError(
      "a sample of Watchdog would keep the dead-man's switch quiet: cdc_watchdog_ok tells whether it arrives",
    )
  }
  if (!rule) {
    const nearest = nearestName(name, names)
    const hint = nearest === undefined ? `have: ${names.toSorted().join(', ')}` : `did you mean ${nearest}?`
    throw new UsageError(`there is no alert ${name} in ${folder}; ${hint}`)
  }
  return { name, labels: rule.labels, annotations: rule.annotations }
}

const shippedRules = (): string => fileURLToPath(new URL('../../prometheus/rules', import.meta.url))

const alerts = z.array(
  z.looseObject({
    labels: z.record(z.string(), z.string()),
    receivers: z.array(z.looseObject({ name: z.string() })),
    status: z.looseObject({
      silencedBy: z.array(z.string()),
      inhibitedBy: z.array(z.string()),
    }),
  }),
)

const receiversOfConfig = z.looseObject({ receivers: z.array(z.looseObject({ name: z.string() })) })

/** Alertmanager's API v2 and its own metrics. */
function alertmanagerAt(address: string, interrupted: AbortSignal) {
  const url = address.replace(/\/+$/, '')

  async function ask(path: string, init: RequestInit = {}): Promise<string> {
    const signal = init.signal ?? AbortSignal.any([interrupted, AbortSignal.timeout(ANSWER_WITHIN_MS)])
    let text: string
    let status: number
    try {
      const response = await fetch(`${url}${path}`, { ...init, signal })
      status = response.status
      text = await response.text()
    } catch (cause) {
      throw new Error(`Alertmanager at ${url} does not answer`, { cause })
    }
    if (status === 200) return text
    throw new Error(`Alertmanager at ${url}: ${path}: status ${status}: ${text.trim().slice(0, 200)}`)
  }

  return {
    async post(body: unknown, signal?: AbortSignal): Promise<void> {
      await ask('/api/v2/alerts', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        ...(signal === undefined ? {} : { signal }),
      })
    },

    /** The receivers that its routes give it, and what mutes it; undefined where it is not known. */
    async status(labels: Readonly<Record<string, string>>) {
      const filters = Object.entries(labels).map(
        ([name, value]) => `filter=${encodeURIComponent(`${name}=${JSON.stringify(value)}`)}`,
      )
      const found = alerts.parse(JSON.parse(await ask(`/api/v2/alerts?${filters.join('&')}`)))
      const own = found.find((each) => Object.keys(each.labels).length === Object.keys(labels).length)
      if (!own) return undefined
      const { silencedBy, inhibitedBy } = own.status
      let mutedBy: string | undefined
      if (silencedBy.length > 0) mutedBy = `it is silenced by ${silencedBy.join(', ')}`
      else if (inhibitedBy.length > 0) mutedBy = `it is muted by another alert (${inhibitedBy.join(', ')})`
      return { receivers: own.receivers.map(({ name }) => name), mutedBy }
    },

    /** `slack`, `telegram`, …, by receiver. */
    async integrations(): Promise<Map<string, readonly string[]>> {
      const { config } = z
        .looseObject({ config: z.looseObject({ original: z.string() }) })
        .parse(JSON.parse(await ask('/api/v2/status')))
      const { receivers } = receiversOfConfig.parse(parse(config.original))
      return new Map(
        receivers.map((receiver) => [
          receiver.name,
          Object.keys(receiver).flatMap((key) => /^(\w+)_configs$/.exec(key)?.[1] ?? []),
        ]),
      )
    },

    /** Requests to receivers by integration, and those that failed, since it started. */
    async requests(): Promise<Map<string, { requests: number; failed: number }>> {
      const counts = new Map<string, { requests: number; failed: number }>()
      const lines = (await ask('/metrics')).matchAll(
        /^alertmanager_notification_requests_(failed_)?total\{([^}]*)\} (\S+)$/gm,
      )
      for (const [, failed, labels = '', value] of lines) {
        const integration = /\bintegration="(\w+)"/.exec(labels)?.[1] ?? ''
        const count = counts.get(integration) ?? { requests: 0, failed: 0 }
        count[failed === undefined ? 'requests' : 'failed'] += Number(value)
        counts.set(integration, count)
      }
      return counts
    },
  }
}

function print(outcome: Outcome, { json }: AlertsTestOptions): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`)
    return
  }
  const labels = Object.entries(outcome.labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  const table = plainTable(['RECEIVER', 'BY', 'REQUESTS', 'FAILED'], (column) => column > 1)
  for (const { name, integrations } of outcome.receivers) {
    for (const integration of integrations) {
      const sent = outcome.integrations.find((each) => each.integration === integration)
      table.push([printable(name), integration, String(sent?.requests ?? 0), String(sent?.failed ?? 0)])
    }
  }
  const lines = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
  const verdict = outcome.problem === null ? '✓ sent by all of them' : `✗ ${outcome.problem}`
  process.stdout.write([printable(labels.join(' ')), '', ...lines, '', printable(verdict), ''].join('\n'))
}
