import { z } from 'zod'
import type { CollectorKind } from '../collection/collector.ts'
import { MOST_LISTED } from '../collection/health.ts'
import type { Instance } from '../collection/instance.ts'
import type { HostUsage } from './host.ts'
import { masked } from './masked.ts'

const status = z.enum(['healthy', 'degraded', 'unhealthy'])
const timestamp = z.iso.datetime().meta({ id: 'timestamp' })

const check = z.object({
  /** Enabled, and its first run has not ended. unknown: it ought to be soon; pending: it waits for its time of the day. */
  status: z.enum(['healthy', 'degraded', 'unhealthy', 'unknown', 'pending']),
  message: z.string(),
  response_time_ms: z.number().optional().describe('Duration of the last run that succeeded.'),
})

/** `GET /health`. */
export const health = z.object({
  status,
  timestamp,
  checks: z.record(z.string(), check),
})

const failedPart = z
  .object({ labels: z.record(z.string(), z.string()), message: z.string() })
  .meta({ id: 'failed_part' })

const detailedCheck = check.extend({
  collector: z.string(),
  target: z.string(),
  labels: z.record(z.string(), z.string()),
  interval_seconds: z.number(),
  last_run: timestamp.optional(),
  last_success: timestamp.optional(),
  next_run: timestamp.optional(),
  last_duration_ms: z.number().optional(),
  problems: z
    .array(z.string())
    .describe('What is wrong though the backend answers, as of the last run; 100 at the most.'),
  /** As of the last run; absent where that failed. */
  details: z.unknown().optional(),
  failed_parts: z.array(failedPart),
})

const detailed = health.extend({
  version: z.string(),
  uptime_seconds: z.number(),
  checks: z.record(z.string(), detailedCheck),
  series: z.number(),
  system: z.object({
    cpu: z.object({
      count: z.number(),
      usage_ratio: z.number().optional().describe('Over the last seconds.'),
      load_average: z.array(z.number()),
    }),
    memory: z.object({ total_bytes: z.number(), available_bytes: z.number(), usage_ratio: z.number() }),
    disk: z
      .object({
        path: z.string(),
        size_bytes: z.number(),
        available_bytes: z.number(),
        usage_ratio: z.number(),
      })
      .optional()
      .describe('Of state_dir, else of the working directory; absent where it cannot be read.'),
    process: z.object({
      resident_memory_bytes: z.number(),
      heap_used_bytes: z.number(),
      cpu_seconds_total: z.number(),
    }),
  }),
})

/** `GET /health/detailed`, with the details of these kinds; its JSON Schema is generated into docs/. */
export function detailedHealth(kinds: readonly Pick<CollectorKind, 'kind' | 'health'>[]) {
  const [first, ...others] = kinds.map(({ kind, health: { title, details } }) =>
    detailedCheck
      .omit({ details: true })
      .extend({ collector: z.literal(kind), ...(details && { details: details.optional() }) })
      .meta({ title }),
  )
  if (!first) throw new TypeError('there is no kind')
  const checks = z.discriminatedUnion('collector', [first, ...others])
  return detailed.extend({ checks: z.record(z.string(), checks) })
}

type Health = z.infer<typeof health>
type DetailedHealth = z.infer<typeof detailed>
type Check = z.infer<typeof check>

export interface HealthInput {
  readonly instances: readonly Instance[]
  /** Wall time in milliseconds. */
  readonly now: number
  /** An error and its causes as one line without secrets. */
  readonly describe: (error: unknown) => string
  /** Takes secrets out of a text. */
  readonly clean: (text: string) => string
}

/** The state after the last collections; asks nobody. */
export function healthOf(input: HealthInput): Health {
  const checks: Record<string, Check> = {}
  for (const [key, instance] of named(input.instances)) checks[key] = checkOf(instance, input)
  return { status: overall(Object.values(checks)), timestamp: new Date(input.now).toISOString(), checks }
}

export function detailedHealthOf(
  input: HealthInput & {
    readonly version: string
    readonly uptimeSeconds: number
    readonly series: number
    readonly host: HostUsage
  },
): DetailedHealth {
  const checks: DetailedHealth['checks'] = {}
  for (const [key, instance] of named(input.instances)) {
    const { settings, state, health: { details, problems = [] } = {} } = instance
    checks[key] = {
      ...checkOf(instance, input),
      collector: settings.kind.kind,
      target: settings.target,
      labels: settings.labels,
      interval_seconds: instance.interval / 1000,
      ...(state.lastRunAt === undefined ? {} : { last_run: new Date(state.lastRunAt).toISOString() }),
      ...(state.lastSuccessAt === undefined
        ? {}
        : { last_success: new Date(state.lastSuccessAt).toISOString() }),
      ...(state.nextRunAt === undefined ? {} : { next_run: new Date(state.nextRunAt).toISOString() }),
      ...(state.lastDuration === undefined ? {} : { last_duration_ms: round(state.lastDuration) }),
      problems: problems.slice(0, MOST_LISTED).map(input.clean),
      ...(details === undefined ? {} : { details: masked(details, input.clean) }),
      failed_parts: state.failedParts
        .slice(0, MOST_LISTED)
        .map(({ labels, cause }) => ({ labels: { ...labels }, message: input.describe(cause) })),
    }
  }
  const { cpu, memory, disk, process } = input.host
  return {
    status: overall(Object.values(checks)),
    timestamp: new Date(input.now).toISOString(),
    version: input.version,
    uptime_seconds: round(input.uptimeSeconds),
    checks,
    series: input.series,
    system: {
      cpu: {
        count: cpu.count,
        ...(cpu.usageRatio === undefined ? {} : { usage_ratio: cpu.usageRatio }),
        load_average: cpu.loadAverage,
      },
      memory: {
        total_bytes: memory.totalBytes,
        available_bytes: memory.availableBytes,
        usage_ratio: 1 - memory.availableBytes / memory.totalBytes,
      },
      ...(disk && {
        disk: {
          path: disk.path,
          size_bytes: disk.sizeBytes,
          available_bytes: disk.availableBytes,
          usage_ratio: 1 - disk.availableBytes / disk.sizeBytes,
        },
      }),
      process: {
        resident_memory_bytes: process.residentBytes,
        heap_used_bytes: process.heapUsedBytes,
        cpu_seconds_total: process.cpuSeconds,
      },
    },
  }
}

/** Every enabled instance under its kind's key; with `_<target>` where a kind has several. */
function named(instances: readonly Instance[]): [string, Instance][] {
  const enabled = instances.filter((instance) => instance.settings.enabled)
  return enabled.map((instance) => {
    const { kind, target } = instance.settings
    const alone = enabled.filter((other) => other.settings.kind.health.key === kind.health.key).length === 1
    return [alone ? kind.health.key : `${kind.health.key}_${target}`, instance]
  })
}

function checkOf(instance: Instance, { describe, clean }: HealthInput): Check {
  const { interval, kind } = instance.settings
  const { title } = kind.health
  const { success, error, failedParts, lastSuccessDuration, nextRunAt } = instance.state
  const time = lastSuccessDuration === undefined ? {} : { response_time_ms: round(lastSuccessDuration) }
  if (success === undefined && typeof interval !== 'number') {
    const due = nextRunAt === undefined ? '' : `; its next run is due at ${new Date(nextRunAt).toISOString()}`
    return { status: 'pending', message: `${title} has not been read yet${due}` }
  }
  if (success === undefined) return { status: 'unknown', message: `${title} has not been read yet` }
  if (!success)
    return { status: 'unhealthy', message: `${title} connection failed: ${describe(error)}`, ...time }
  const { problems = [] } = instance.health ?? {}
  const faults: string[] = []
  const [problem] = problems
  if (problem !== undefined) faults.push(`${title} is degraded: ${clean(problem)}${more(problems)}`)
  const [part] = failedParts
  if (part) {
    const what = `${JSON.stringify(part.labels)}${more(failedParts)}`
    faults.push(`${title} was read in part; failed: ${what}: ${describe(part.cause)}`)
  }
  if (faults.length > 0) return { status: 'degraded', message: faults.join('; '), ...time }
  return { status: 'healthy', message: `${title} connection is healthy`, ...time }
}

const more = ({ length }: readonly unknown[]): string => (length > 1 ? ` and ${length - 1} more` : '')

function overall(checks: readonly Check[]): Health['status'] {
  // What waits for its time of the day says nothing of how the others are.
  const known = checks.filter((check) => check.status !== 'pending')
  if (known.every((check) => check.status === 'healthy')) return 'healthy'
  return known.every((check) => check.status === 'unhealthy') ? 'unhealthy' : 'degraded'
}

const round = (value: number): number => Math.round(value * 100) / 100
