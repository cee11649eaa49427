import { z } from 'zod'
import { LEVEL_NAMES, LOG_LEVELS } from '../log.ts'
import { boolean, duration, formatDuration, integer, settings, shown, size } from './fields.ts'
import { watchdog } from './watchdog.ts'

/** Timers of Node end at 2^31 - 1 ms; beyond it they fire at once. */
const LONGEST = 24 * 86_400_000

const period = () =>
  duration().refine((ms) => ms > 0 && ms <= LONGEST, {
    error: ({ input }) =>
      `expected a duration above 0 and up to ${formatDuration(LONGEST)}, got ${formatDuration(Number(input))}`,
  })

const listen = () => {
  const expected = 'host:port, [IPv6]:port or :port'
  return z
    .string({ error: ({ input }) => `expected ${expected}, got ${shown(input)}` })
    .transform((text, context) => {
      const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]*)):(\d{1,5})$/.exec(text)
      const port = Number(match?.[3])
      if (match && port <= 65_535) return { host: match[1] ?? (match[2] || undefined), port }
      context.addIssue({ code: 'custom', message: `expected ${expected}, got ${shown(text)}` })
      return z.NEVER
    })
}

/** Labels that the exporter sets itself, or that Prometheus gives a meaning. */
export const RESERVED_LABELS: readonly string[] = [
  'target',
  'collector',
  'environment',
  'platform',
  'le',
  'quantile',
]

const name = () =>
  z.string().regex(/^\S(.*\S)?$/, { error: ({ input }) => `expected a name, got ${shown(input)}` })

/** The keys that a collector of every kind has. */
export const collectorShape = {
  kind: z.string().describe('What is watched.'),
  target: name().describe('Name of this instance: the `target` label of its series.'),
  enabled: boolean().default(true).describe('A collector that is not enabled never runs.'),
  environment: name()
    .optional()
    .describe('Label of its series; an environment can be switched off under `environments`.'),
  platform: name().optional().describe('Label of its series.'),
  labels: z.record(z.string(), z.string()).default({}).describe('Further labels of its series.'),
  interval: period().optional().describe('Time between the starts of two runs.'),
  schedule: z
    .string()
    .optional()
    .describe('Instead of an interval: when runs start, as cron has it: minute hour day month weekday.'),
  timezone: z
    .string()
    .optional()
    .describe("Of the schedule, such as Asia/Jakarta; the machine's own where absent."),
  timeout: period()
    .optional()
    .describe('A run is given up after this time, which may not exceed the interval.'),
  check_interval: period()
    .default(600_000)
    .describe(
      'Time between two background looks at what `cdc-exporter check` looks at, each within the timeout.',
    ),
  max_series: integer(1)
    .default(1_000_000)
    .describe('What a run writes beyond this number of series is dropped and counted.'),
}

export const collectorSchema = settings(collectorShape)

const PERIODS = [
  { unit: 'd', length: 86_400_000, fitsInto: 0 },
  { unit: 'h', length: 3_600_000, fitsInto: 24 },
  { unit: 'm', length: 60_000, fitsInto: 60 },
  { unit: 's', length: 1_000, fitsInto: 60 },
] as const

/** `6h` for 21600000: whole days, or a part of a day, an hour or a minute; undefined for any other time. */
function rotationPeriod(ms: number): string | undefined {
  const period = PERIODS.find(({ length }) => ms >= length && ms % length === 0)
  if (period === undefined) return undefined
  const count = ms / period.length
  return period.fitsInto === 0 || period.fitsInto % count === 0 ? `${count}${period.unit}` : undefined
}

const logFile = settings({
  path: name().describe(
    "File that is written to; those that are done lie beside it. A relative path starts at this file's folder.",
  ),
  max_size: size()
    .prefault('50MiB')
    .refine((bytes) => bytes >= 1024, { error: 'expected a size from 1KiB' })
    .describe('Beyond this size it is done, and a new one is begun.'),
  every: duration()
    .transform((ms, context) => {
      const text = rotationPeriod(ms)
      if (text !== undefined) return text
      const expected = 'whole days, or a part of a day, an hour or a minute such as 6h or 15m'
      context.addIssue({ code: 'custom', message: `expected ${expected}, got ${formatDuration(ms)}` })
      return z.NEVER
    })
    .prefault('1d')
    .describe('A new one is begun this often, by UTC.'),
  max_files: integer(1).default(10).describe('Of those that are done so many are kept.'),
  max_age: duration().prefault('30d').describe('Of those that are done older ones are deleted.'),
  compress: boolean().default(true).describe('Those that are done are compressed with gzip.'),
})

/** The whole file, but for the collectors, whose keys depend on their kind. */
export const fileSchema = settings({
  web: settings({
    listen: listen().prefault(':9979').describe('Address of the HTTP server; `:9979` is every interface.'),
    enable_lifecycle: boolean()
      .default(false)
      .describe('Whether POST /-/collect and POST /-/reload are answered.'),
  }).prefault({}),
  log: settings({
    level: z.enum(LOG_LEVELS).default('info').describe('Lines below this level are not written.'),
    level_names: z
      .enum(LEVEL_NAMES)
      .default('capitals')
      .describe('capitals: DEBUG, INFO, WARNING, ERROR, CRITICAL; pino: debug, info, warn, error, fatal.'),
    file: logFile.optional().describe('A file besides standard output. Read at the start only.'),
  }).prefault({}),
  state_dir: name()
    .optional()
    .describe(
      'Folder for what outlives a restart: failures and audit. In memory without it. A relative path starts at ' +
        "this file's folder. Read at the start only.",
    ),
  api: settings({
    tokens_file: name()
      .optional()
      .describe(
        'File of the API tokens (`cdc-exporter token` makes one), read with this file. Without it the API only ' +
          "reads, for everybody. A relative path starts at this file's folder.",
      ),
  }).prefault({}),
  history: settings({
    max_age: duration().prefault('90d').describe('A failure that is over is forgotten after this time.'),
    max_failures: integer(1)
      .default(10_000)
      .describe('Beyond this number the oldest failures are forgotten.'),
    max_audit_entries: integer(1)
      .default(100_000)
      .describe('Beyond this number the oldest entries of the audit are forgotten.'),
  }).prefault({}),
  watchdog: watchdog.optional(),
  environments: z
    .record(z.string(), settings({ enabled: boolean().describe('false switches its collectors off.') }))
    .default({})
    .describe('Environments that can be switched off one by one.'),
  defaults: settings({
    interval: period().optional().describe('Interval of collectors that give none.'),
    timeout: period().optional().describe('Timeout of collectors that give none; cut to their interval.'),
  }).prefault({}),
  collectors: z.array(z.unknown()).describe('What is watched: one entry for each target.'),
})
