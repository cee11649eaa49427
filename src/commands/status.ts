import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { nextTurn, systemClock } from '../clock.ts'
import { plainTable } from './plain-table.ts'

export interface StatusOptions {
  /** Of a running daemon. */
  readonly url: string
  /** File with an API token, where the daemon wants one. */
  readonly tokenFile?: string
  readonly json?: boolean
  readonly watch?: boolean
}

const collector = z.looseObject({
  collector: z.string(),
  target: z.string(),
  labels: z.record(z.string(), z.string()),
  enabled: z.boolean(),
  schedule: z.string().optional(),
  interval_seconds: z.number(),
  success: z.boolean().optional(),
  last_run: z.string().optional(),
  next_run: z.string().optional(),
  last_duration_seconds: z.number().optional(),
  error: z.string().optional(),
  problems: z.array(z.string()).default([]),
  failed_parts: z.array(z.object({ error: z.string() })),
  series: z.number(),
})
const answer = z.object({ items: z.array(collector), total: z.number() })

type Collector = z.infer<typeof collector>

const PAGE = 500
const WATCH_EVERY_MS = 2_000
const ANSWER_WITHIN_MS = 10_000

/** The collectors of a running daemon. Resolves to whether none of them fails. */
export async function status(options: StatusOptions, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    const collectors = await fetchCollectors(options, signal)
    print(collectors, options)
    if (!options.watch) return collectors.every(({ success }) => success !== false)
    try {
      await systemClock.sleep(WATCH_EVERY_MS, signal)
    } catch {
      return true
    }
    await nextTurn()
  }
}

async function fetchCollectors({ url, tokenFile }: StatusOptions, signal: AbortSignal): Promise<Collector[]> {
  const token = tokenFile === undefined ? undefined : readFileSync(tokenFile, 'utf8').trim()
  const collectors: Collector[] = []
  for (;;) {
    const path = `/api/v1/collectors?limit=${PAGE}&offset=${collectors.length}`
    let text: string
    try {
      const response = await fetch(`${url.replace(/\/+$/, '')}${path}`, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
      })
      text = await response.text()
      if (!response.ok) throw new Error(`status ${response.status}: ${text.trim().slice(0, 200)}`)
    } catch (cause) {
      throw new Error(`the daemon at ${url} does not answer`, { cause })
    }
    const { items, total } = answer.parse(JSON.parse(text))
    collectors.push(...items)
    if (items.length === 0 || collectors.length >= total) return collectors
  }
}

function print(collectors: readonly Collector[], { json, watch }: StatusOptions): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(collectors, null, watch ? undefined : 2)}\n`)
    return
  }
  const heads = [
    'COLLECTOR',
    'TARGET',
    'ENVIRONMENT',
    'STATE',
    'EVERY',
    'LAST RUN',
    'NEXT RUN',
    'TOOK',
    'SERIES',
    'ERROR',
  ]
  const table = plainTable(heads, (column) => column === 7 || column === 8)
  for (const each of collectors) {
    const error = each.error ?? each.problems[0] ?? each.failed_parts[0]?.error ?? ''
    table.push([
      each.collector,
      each.target,
      each.labels.environment ?? '',
      stateOf(each),
      each.schedule ?? `${each.interval_seconds}s`,
      each.last_run ?? '–',
      each.next_run ?? '–',
      each.last_duration_seconds === undefined ? '–' : `${each.last_duration_seconds}s`,
      String(each.series),
      error.length > 100 ? `${error.slice(0, 99)}…` : error,
    ])
  }
  if (watch && process.stdout.isTTY) process.stdout.write('\x1b[H\x1b[2J')
  process.stdout.write(`${table.toString()}\n`)
}

function stateOf({ enabled, success, problems, failed_parts }: Collector): string {
  if (!enabled) return 'off'
  if (success === undefined) return 'waiting'
  if (!success) return 'failed'
  if (problems.length > 0) return 'degraded'
  return failed_parts.length > 0 ? 'in part' : 'ok'
}
