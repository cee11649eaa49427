import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { CollectorKind, CollectorKinds, DeclaredFamily } from '../collection/collector.ts'
import { checkFamilies } from '../collection/run-metrics.ts'
import { nextTime, type Schedule } from '../collection/schedule.ts'
import type { LevelNames, LogLevel } from '../log.ts'
import { formatDuration, isTimezone, shown } from './fields.ts'
import { type Complaint, check, nearestName, typeName, unknownKeyMessage } from './issues.ts'
import { keysAt } from './schema.ts'
import { Secret } from './secret.ts'
import { collectorSchema, collectorShape, fileSchema, RESERVED_LABELS } from './shape.ts'
import { type Fault, type Path, pathText, Source } from './source.ts'
import { type ApiToken, readTokens } from './tokens.ts'
import type { WatchdogSettings } from './watchdog.ts'

export interface LogFileSettings {
  /** Absolute path of the file that is written to; those that are done lie beside it. */
  readonly path: string
  /** Bytes. */
  readonly maxSize: number
  /** Whole days, or a part of a day, an hour or a minute: `1d`, `6h`, `15m`. */
  readonly every: string
  /** How many that are done are kept, besides the one that is written to. */
  readonly maxFiles: number
  /** Milliseconds; older ones are deleted. */
  readonly maxAge: number
  readonly compress: boolean
}

export interface Config {
  /** Without a host the server listens on every interface. */
  readonly web: { readonly host: string | undefined; readonly port: number }
  /** Whether the daemon may be told over HTTP to collect and to reload. */
  readonly enableLifecycle: boolean
  readonly log: {
    readonly level: LogLevel
    readonly levelNames: LevelNames
    /** Undefined where lines go to standard output only. */
    readonly file: LogFileSettings | undefined
  }
  /** Absolute; undefined keeps everything in memory. */
  readonly stateDir: string | undefined
  readonly api: {
    /** Absolute. */
    readonly tokensFile: string | undefined
    /** Undefined without a file. */
    readonly tokens: readonly ApiToken[] | undefined
  }
  /** Bounds of what is kept; the age in milliseconds. */
  readonly history: {
    readonly maxAge: number
    readonly maxFailures: number
    readonly maxAuditEntries: number
  }
  /** Undefined for no dead-man's switch. */
  readonly watchdog: WatchdogSettings | undefined
  readonly collectors: readonly InstanceConfig[]
  /** Every secret, for redaction. */
  readonly secrets: readonly Secret[]
}

/** One collector of the configuration, with all defaults filled in. */
export interface InstanceConfig {
  readonly kind: CollectorKind
  readonly target: string
  /** False too where its environment is switched off. */
  readonly enabled: boolean
  /** Whether it is on where its environment is: for an environment that is switched at run time. */
  readonly enabledInEnvironment: boolean
  /** The labels of each of its series: target, environment, platform, then its own. */
  readonly labels: Readonly<Record<string, string>>
  /** Milliseconds between the starts of two runs, or the times at which they start. */
  readonly interval: number | Schedule
  /** Milliseconds; not more than the interval. */
  readonly timeout: number
  /** Milliseconds between two background looks at what can be checked. */
  readonly checkInterval: number
  readonly maxSeries: number
  /** The output of `kind.settings`. */
  readonly settings: unknown
}

/** A configuration that is refused. Its message has one line for each fault, as `file:line:column: path: what`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly Fault[]

  constructor(file: string, faults: readonly Fault[]) {
    const sorted = faults.toSorted((a, b) => a.line - b.line || a.column - b.column)
    super(
      sorted
        .map(({ line, column, path, message }) =>
          [`${file}:${line}:${column}`, ...(path === '' ? [] : [path]), message].join(': '),
        )
        .join('\n'),
    )
    this.faults = sorted
  }
}

/**
 * Reads and validates a configuration file: variables filled in from `env`, defaults applied, secret files
 * read once, the kinds that it has loaded (all, where it names families of its own). Rejects with a ConfigError that lists every fault at once and holds no
 * secret.
 */
export async function loadConfig(
  file: string,
  options: {
    readonly kinds: CollectorKinds
    readonly env: Readonly<Record<string, string | undefined>>
  },
): Promise<Config> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(file, [{ line: 1, column: 1, path: '', message: unreadable(error) }])
  }
  const source = new Source(text, options.env)
  const config = source.value && (await readFile(source, source.value, resolve(dirname(file)), options.kinds))
  if (config === undefined || source.faults.length > 0) throw new ConfigError(file, source.faults)
  return config
}

/** Undefined, or in parts, only where the source has got a fault. */
async function readFile(
  source: Source,
  value: Readonly<Record<string, unknown>>,
  folder: string,
  kinds: CollectorKinds,
): Promise<Config | undefined> {
  const file = check(fileSchema, value)
  if (file.complaints) {
    note(source, [], file.complaints, (path) => keysAt(fileSchema, path))
  } else {
    requireTimeoutWithinInterval(source, ['defaults'], file.data.defaults)
  }
  const seen = new Map<string, Path>()
  const declared = new Map<string, Declared>()
  const collectors: InstanceConfig[] = []
  const secrets = new Set<Secret>()
  for (const [index, entry] of (Array.isArray(value.collectors) ? value.collectors : []).entries()) {
    const path = ['collectors', index]
    const collector = await readCollector(source, path, entry, kinds)
    if (collector === undefined) continue
    const { kind, base, labels, settings } = collector
    if (base) requireUnique(source, path, kind.kind, base.target, seen)
    const families = settings === undefined ? [] : (kind.declared?.(settings) ?? [])
    for (const each of families) await requireFree(source, path, each, kinds, declared)
    noteLabels(source, [...path, 'labels'], labels, [
      ...kind.families,
      ...(kind.checks ? checkFamilies : []),
      ...families.map(({ family }) => family),
    ])
    for (const secret of openSecrets(source, path, settings, folder)) secrets.add(secret)
    if (!base || !file.data) continue
    const { defaults, environments } = file.data
    const schedule = readSchedule(source, path, base)
    const interval = base.interval ?? defaults.interval ?? kind.defaults.interval
    const longest = schedule ? Number.POSITIVE_INFINITY : interval
    if (base.timeout !== undefined) {
      requireTimeoutWithinInterval(source, path, { interval: longest, timeout: base.timeout })
    }
    const timeout = Math.min(base.timeout ?? defaults.timeout ?? kind.defaults.timeout, longest)
    const wait = settings === undefined ? undefined : kind.longestWait?.(settings)
    if (wait !== undefined && wait >= timeout) {
      const expected = `expected more than ${formatDuration(wait)}, which a run may have to wait`
      source.fault([...path, 'timeout'], `${expected}, got ${formatDuration(timeout)}`)
    }
    collectors.push({
      kind,
      target: base.target,
      enabledInEnvironment: base.enabled,
      enabled: base.enabled && environments[base.environment ?? '']?.enabled !== false,
      labels: {
        target: base.target,
        ...(base.environment === undefined ? {} : { environment: base.environment }),
        ...(base.platform === undefined ? {} : { platform: base.platform }),
        ...base.labels,
      },
      interval: schedule ?? interval,
      timeout,
      checkInterval: base.check_interval,
      maxSeries: base.max_series,
      settings,
    })
  }
  if (!file.data) return undefined
  const { web, log, state_dir, api, history, watchdog } = file.data
  for (const secret of openSecrets(source, ['watchdog'], watchdog, folder)) secrets.add(secret)
  const access = readApi(source, api.tokens_file, folder)
  if (watchdog) requireWatchdogToken(source, access)
  return {
    web: web.listen,
    enableLifecycle: web.enable_lifecycle,
    log: {
      level: log.level,
      levelNames: log.level_names,
      file: log.file && {
        path: resolve(folder, log.file.path),
        maxSize: log.file.max_size,
        every: log.file.every,
        maxFiles: log.file.max_files,
        maxAge: log.file.max_age,
        compress: log.file.compress,
      },
    },
    stateDir: state_dir === undefined ? undefined : resolve(folder, state_dir),
    api: access,
    history: {
      maxAge: history.max_age,
      maxFailures: history.max_failures,
      maxAuditEntries: history.max_audit_entries,
    },
    watchdog,
    collectors,
    secrets: [...secrets],
  }
}

/** Undefined where it runs at an interval. */
function readSchedule(
  source: Source,
  path: Path,
  given: {
    readonly interval?: number | undefined
    readonly schedule?: string | undefined
    readonly timezone?: string | undefined
  },
): Schedule | undefined {
  const { interval, schedule: cron, timezone } = given
  if (cron === undefined) {
    if (timezone !== undefined) source.fault([...path, 'timezone'], 'give it with a schedule only', 'key')
    return undefined
  }
  if (interval !== undefined)
    source.fault([...path, 'schedule'], 'give interval or schedule, not both', 'key')
  if (timezone !== undefined && !isTimezone(timezone)) {
    const at = [...path, 'timezone']
    source.fault(at, `expected a time zone such as Asia/Jakarta, got ${shown(timezone)}`)
    return undefined
  }
  try {
    nextTime({ cron, timezone }, Date.now())
  } catch {
    const at = [...path, 'schedule']
    source.fault(at, `expected a cron expression of five fields such as "0 6 * * *", got ${shown(cron)}`)
  }
  return { cron, timezone }
}

/** Undefined where the kind is not known. Keys of all collectors and keys of the kind are judged apart. */
async function readCollector(source: Source, path: Path, entry: unknown, kinds: CollectorKinds) {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    source.fault(path, `expected a map, got ${typeName(entry)}`)
    return undefined
  }
  const given = Object.entries(entry)
  const ofAll = Object.fromEntries(given.filter(([key]) => Object.hasOwn(collectorShape, key)))
  const own = Object.fromEntries(given.filter(([key]) => !Object.hasOwn(collectorShape, key)))

  const base = check(collectorSchema, ofAll)
  note(source, path, base.complaints ?? [], () => [])
  const name: unknown = ofAll.kind
  if (typeof name !== 'string') return undefined
  const load = Object.hasOwn(kinds, name) ? kinds[name] : undefined
  if (load === undefined) {
    source.fault([...path, 'kind'], unknownKind(name, Object.keys(kinds)))
    return undefined
  }
  const kind = await load()
  const settings = check(kind.settings, own)
  note(source, path, settings.complaints ?? [], (at) => [
    ...(at.length === 0 ? Object.keys(collectorShape) : []),
    ...keysAt(kind.settings, at),
  ])
  return { kind, base: base.data, labels: ofAll.labels, settings: settings.data }
}

function note(
  source: Source,
  root: Path,
  complaints: readonly Complaint[],
  knownKeys: (path: Path) => readonly string[],
): void {
  for (const { path, message, key } of complaints) {
    const at = [...root, ...path]
    let text = message
    if (key === 'unknown') text = unknownKeyMessage(String(path.at(-1)), knownKeys(path.slice(0, -1)))
    // A kind's own message need not tell an absent value from a wrong one.
    else if (!source.has(at) && !message.startsWith('missing')) text = `missing: ${message}`
    source.fault(at, text, key === undefined ? 'value' : 'key')
  }
}

function unknownKind(name: string, names: readonly string[]): string {
  const nearest = nearestName(name, names)
  const hint = nearest === undefined ? '' : `; did you mean "${nearest}"?`
  return `expected one of ${names.join(', ')}, got ${shown(name)}${hint}`
}

function noteLabels(source: Source, path: Path, labels: unknown, families: readonly Family[]): void {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) return
  for (const name of Object.keys(labels)) {
    const family = families.find(({ labelNames }) => labelNames.includes(name))
    let message: string | undefined
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) {
      message = 'expected a label name of letters, digits and underscores that starts with no digit'
    } else if (name.startsWith('__') || RESERVED_LABELS.includes(name)) {
      message = 'this label name is reserved'
    } else if (family) {
      message = `${family.name} has a label of this name already`
    }
    if (message !== undefined) source.fault([...path, name], message, 'key')
  }
}

type Family = DeclaredFamily['family']

/** Names of the exporter itself, and those that Prometheus writes for every target. */
const OWN_NAMES = /^(?:cdc_|process_|nodejs_|kafka_connect_|scrape_|(?:up|ALERTS|ALERTS_FOR_STATE)$)/

/** A family that the configuration declares and where it does. */
interface Declared {
  readonly family: Family
  readonly path: Path
}

/** A family of one name has one type, one help and one set of labels in a scrape, whoever declares it. */
async function requireFree(
  source: Source,
  root: Path,
  { family, path }: DeclaredFamily,
  kinds: CollectorKinds,
  declared: Map<string, Declared>,
): Promise<void> {
  const at = [...root, ...path]
  const { name, labelNames } = family
  const all = await Promise.all(Object.values(kinds).map((load) => load()))
  const owner = all.find(({ families }) => families.some((other) => other.name === name))
  const first = declared.get(name)
  const reserved = labelNames.find((label) => RESERVED_LABELS.includes(label))
  if (owner) source.fault(at, `the ${owner.kind} collector has a family ${name}`)
  else if (OWN_NAMES.test(name)) source.fault(at, `${name} is a name of the exporter's own`)
  else if (reserved !== undefined) source.fault(at, `${name} has the label ${reserved}, which is reserved`)
  else if (first && !isSame(first.family, family)) {
    const other = `${pathText(first.path)} in line ${source.line(first.path)}`
    source.fault(at, `${name} has another type, help or labels at ${other}`)
  }
  if (!first) declared.set(name, { family, path: at })
}

const isSame = (one: Family, other: Family): boolean =>
  one.type === other.type && one.help === other.help && one.labelNames.join() === other.labelNames.join()

function requireUnique(
  source: Source,
  path: Path,
  kind: string,
  target: string,
  seen: Map<string, Path>,
): void {
  const id = JSON.stringify([kind, target])
  const first = seen.get(id)
  if (first === undefined) seen.set(id, [...path, 'target'])
  else {
    source.fault(
      [...path, 'target'],
      `the ${kind} collector ${shown(target)} is there already, in line ${source.line(first)}`,
    )
  }
}

/** A timeout that is inherited is cut to the interval; one that is given has to fit. */
function requireTimeoutWithinInterval(
  source: Source,
  path: Path,
  { interval, timeout }: { readonly interval?: number | undefined; readonly timeout?: number | undefined },
): void {
  if (interval === undefined || timeout === undefined || timeout <= interval) return
  source.fault(
    [...path, 'timeout'],
    `expected at most the interval, ${formatDuration(interval)}, got ${formatDuration(timeout)}`,
  )
}

function readApi(source: Source, tokensFile: string | undefined, folder: string): Config['api'] {
  if (tokensFile === undefined) return { tokensFile, tokens: undefined }
  const file = resolve(folder, tokensFile)
  const path = ['api', 'tokens_file']
  try {
    const { tokens, faults } = readTokens(file)
    for (const fault of faults) source.fault(path, fault)
    return { tokensFile: file, tokens }
  } catch (error) {
    source.fault(path, `${unreadable(error)}: ${shown(tokensFile)}`)
    return { tokensFile: file, tokens: undefined }
  }
}

/** Whom nobody may feed tells of an absence that is none. */
function requireWatchdogToken(source: Source, { tokensFile, tokens }: Config['api']): void {
  // One that cannot be read is a fault already.
  if (tokensFile !== undefined && !tokens) return
  if (tokens?.some(({ role }) => role === 'watchdog' || role === 'admin')) return
  const message = 'expected a token of the role watchdog in api.tokens_file, for Alertmanager; there is none'
  source.fault(['watchdog'], message, 'key')
}

/** The secrets within validated settings, each made relative to the configuration's folder and read once. */
function openSecrets(source: Source, root: Path, settings: unknown, folder: string): Secret[] {
  const found: Secret[] = []
  const seen = new Set<unknown>()
  const walk = (value: unknown, path: Path) => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return
    seen.add(value)
    if (value instanceof Secret) {
      found.push(value)
      const { file } = value
      value.anchor(folder)
      try {
        value.reveal()
      } catch (error) {
        const at = [...path.slice(0, -1), `${String(path.at(-1))}_file`]
        source.fault(source.has(at) ? at : path, `${unreadable(error)}: ${shown(file)}`)
      }
      return
    }
    const entries = Array.isArray(value) || value instanceof Map ? value.entries() : Object.entries(value)
    for (const [key, item] of entries) walk(item, [...path, key])
  }
  walk(settings, root)
  return found
}

function unreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
  }
  return `cannot read the file (${reasons[code] ?? (code || error)})`
}
