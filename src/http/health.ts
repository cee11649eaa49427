import { z } from 'zod'
import type { Instance } from '../collection/instance.ts'
import type { HostUsage } from './host.ts'

const status = z.enum(['healthy', 'degraded', 'unhealthy'])
const timestamp = z.iso.datetime()

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

/** `GET /health/detailed`; its JSON Schema is generated into docs/. */
export const detailedHealth = health.extend({
  version: z.string(),
  uptime_seconds: z.number(),
  checks: z.record(
    z.string(),
    check.extend({
      collector: z.string(),
      target: z.string(),
      labels: z.record(z.string(), z.string()),
      interval_seconds: z.number(),
      last_run: timestamp.optional(),
      last_success: timestamp.optional(),
      next_run: timestamp.optional(),
      last_duration_ms: z.number().optional(),
      failed_parts: z.array(z.object({ labels: z.record(z.string(), z.string()), message: z.string() })),
    }),
  ),
  series: z.number(),
  system: z.object({
    cpu: z.object({
      count: z.number(),
      usage_ratio: z.number().optional(),
      load_average: z.array(z.number()),
    }),
    memory: z.object({ total_bytes: z.number(), available_bytes: z.number(), usage_ratio: z.number() }),
    disk: z.object({
      path: z.string(),
      size_bytes: z.number(),
      available_bytes: z.number(),
      usage_ratio: z.number(),
    }),
    process: z.object({
      resident_memory_bytes: z.number(),
      heap_used_bytes: z.number(),
      cpu_seconds_total: z.number(),
    }),
  }),
})

type Health = z.infer<typeof health>
type DetailedHealth = z.infer<typeof detailedHealth>
type Check = z.infer<typeof check>

export interface HealthInput {
  readonly instances: readonly Instance[]
  /** Wall time in milliseconds. */
  readonly now: number
  /** An error and its causes as one line without secrets. */
  readonly describe: (error: unknown) => string
}

/** The state after the last collections; asks nobody. */
export function healthOf(input: HealthInput): Health {
  const checks: Record<string, Check> = {}
  for (const [key, instance] of named(input.instances)) checks[key] = checkOf(instance, input.describe)
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
    const { settings, state } = instance
    checks[key] = {
      ...checkOf(instance, input.describe),
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
      failed_parts: state.failedParts
        .slice(0, 100)
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
      disk: {
        path: disk.path,
        size_bytes: disk.sizeBytes,
        available_bytes: disk.availableBytes,
        usage_ratio: 1 - disk.availableBytes / disk.sizeBytes,
      },
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

function checkOf(instance: Instance, describe: (error: unknown) => string): Check {
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
  const [part] = failedParts
  if (part) {
    const more = failedParts.length > 1 ? ` and ${failedParts.length - 1} more` : ''
    return {
      status: 'degraded',
      message: `${title} was read in part; failed: ${JSON.stringify(part.labels)}${more}: ${describe(part.cause)}`,
      ...time,
    }
  }
  return { status: 'healthy', message: `${title} connection is healthy`, ...time }
}

function overall(checks: readonly Check[]): Health['status'] {
  // What waits for its time of the day says nothing of how the others are.
  const known = checks.filter((check) => check.status !== 'pending')
  if (known.every((check) => check.status === 'healthy')) return 'healthy'
  return known.every((check) => check.status === 'unhealthy') ? 'unhealthy' : 'degraded'
}

const round = (value: number): number => Math.round(value * 100) / 100
