import { type DestinationStream, type Logger, pino } from 'pino'

export const LOG_LEVELS = ['debug', 'info', 'warning', 'error', 'critical'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What a line calls its level: `WARNING`, or pino's `warn`. */
export const LEVEL_NAMES = ['capitals', 'pino'] as const
export type LevelNames = (typeof LEVEL_NAMES)[number]

const PINO_NAMES: Readonly<Record<string, string>> = { warning: 'warn', critical: 'fatal' }

/** `log.info({ target }, 'message')`, `log.error({ error }, 'message')`, `log.child({ logger: 'scheduler' })`. */
export type Log = Logger<LogLevel, true>

const REDACTED = '[redacted]'

/**
 * The root logger. One JSON object a line: `timestamp` (ISO 8601, milliseconds, UTC), `level`,
 * `logger`, `message`, then the context. An Error under `error` becomes `{ type, message, causes, stack }`,
 * the stack at level debug only. No line holds a text of `secrets`, which is asked at each line, since a
 * rotated secret is a new text.
 */
export function createLogger(options: {
  readonly level: LogLevel
  /** `capitals` where absent. */
  readonly levelNames?: LevelNames
  readonly secrets: () => Iterable<string>
  /** Standard output where absent. */
  readonly destination?: DestinationStream
}): Log {
  const { level, levelNames = 'capitals', secrets, destination = standardOutput() } = options
  return pino<LogLevel, true>(
    {
      level,
      customLevels: { debug: 20, info: 30, warning: 40, error: 50, critical: 60 },
      useOnlyCustomLevels: true,
      base: { logger: 'cdc-exporter' },
      messageKey: 'message',
      errorKey: 'error',
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({
          level: levelNames === 'pino' ? (PINO_NAMES[label] ?? label) : label.toUpperCase(),
        }),
        // The line is parsed again below, and a bigint beyond 2^53 would come out as another number.
        log: (context) =>
          Object.fromEntries(
            Object.entries(context).map(([key, value]) => [
              key,
              typeof value === 'bigint' ? String(value) : value,
            ]),
          ),
      },
      serializers: { error: (error: unknown) => describeError(error, level === 'debug') },
      hooks: { streamWrite: (line) => cleanLine(line, secrets()) },
    },
    destination,
  )
}

/** Written at once, so that the last line before an end is never lost. */
export const standardOutput = (): DestinationStream => pino.destination({ fd: 1, sync: true })

/**
 * Each text of `secrets` becomes `[redacted]`: as it is, escaped as in JSON, percent-encoded, or as the
 * password inside a URL that is a secret as a whole. So do the userinfo of any URL and the credentials
 * after `Basic` and `Bearer`, known or not.
 */
export function redact(text: string, secrets: Iterable<string>): string {
  const known = matcher(secrets)
  return (known ? text.replace(known, REDACTED) : text)
    .replace(/\b(Basic|Bearer)\s+[\w.~+/=-]{6,}/gi, `$1 ${REDACTED}`)
    .replace(URL_USERINFO, `://${REDACTED}@`)
}

/** Whether a key or a variable of this name holds a secret. `password_file` does not: it is a path. */
export function isSecretName(name: string): boolean {
  return (
    !/_file$/i.test(name) &&
    /passw|pwd|passphrase|secret|token|authorization|credential|cookie|jaas|[._-]key$|api_?key/i.test(
      name.replace(/([a-z])Key$/, '$1_key'),
    )
  )
}

/** The second form is a password with an unescaped slash in it; a port before the slash is none. */
const URL_USERINFO = /:\/\/(?:[^\s/?#"'<>]*|[^\s/:"'<>]+:(?!\d+\/)[^\s,"'<>]*)@/g

let lastKey = ''
let lastMatcher: RegExp | undefined

/** One expression for all secrets, so that none is looked for in another's replacement; the longest first. */
function matcher(secrets: Iterable<string>): RegExp | undefined {
  const texts = new Set<string>()
  for (const secret of secrets) {
    texts.add(secret)
    const password = /^[a-z][a-z0-9+.-]*:\/\/[^:@/\s]*:(.+)@/i.exec(secret)?.[1]
    if (password !== undefined) texts.add(password).add(decoded(password))
  }
  texts.delete('')
  const key = JSON.stringify([...texts])
  if (key !== lastKey) {
    lastKey = key
    const patterns = [...texts].sort((a, b) => b.length - a.length).map(anyForm)
    lastMatcher = patterns.length > 0 ? new RegExp(patterns.join('|'), 'g') : undefined
  }
  return lastMatcher
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The source of an expression for a text in any mixture of plain, JSON-escaped and percent-encoded form. */
function anyForm(text: string): string {
  return [...text.matchAll(/\\+|[\s\S]/gu)].map(([part]) => anyFormOf(part)).join('')
}

const JSON_LETTERS: Readonly<Record<string, string>> = {
  '\n': 'n',
  '\r': 'r',
  '\t': 't',
  '\b': 'b',
  '\f': 'f',
}

function anyFormOf(part: string): string {
  if (/^[A-Za-z0-9]$/.test(part)) return part
  // JSON inside JSON doubles the backslashes again; twice is as deep as a log line goes.
  if (part.startsWith('\\')) return `(?:\\\\{${part.length},${4 * part.length}}|(?:%5[cC]){${part.length}})`
  const literal = part.replace(/[.*+?^${}()|[\]/-]/, '\\$&')
  const percent = [...Buffer.from(part)].map((byte) =>
    `%${byte.toString(16).padStart(2, '0')}`.replace(/[a-f]/g, (c) => `[${c}${c.toUpperCase()}]`),
  )
  const unicode = [...Array(part.length).keys()].map((i) =>
    `\\\\{1,3}u${part.charCodeAt(i).toString(16).padStart(4, '0')}`.replace(
      /[a-f](?=[0-9a-f]*$)/g,
      (c) => `[${c}${c.toUpperCase()}]`,
    ),
  )
  // The percent-encoded form first: that of `%` begins with the plain one.
  const forms = [percent.join(''), `\\\\{0,3}${literal}`, unicode.join('')]
  const letter = JSON_LETTERS[part]
  if (letter !== undefined) forms.push(`\\\\{1,3}${letter}`)
  if (part === ' ') forms.push('\\+')
  return `(?:${forms.join('|')})`
}

interface ErrorDescription {
  readonly type: string
  readonly message: string
  readonly causes?: readonly { readonly type: string; readonly message: string }[]
  readonly stack?: string
}

/** `causes`: the chain from the nearest to the root, the members of an AggregateError among them. */
function describeError(error: unknown, withStack: boolean): ErrorDescription {
  const causes: { type: string; message: string }[] = []
  const seen = new Set<unknown>([error])
  const follow = (of: unknown) => {
    const members = of instanceof AggregateError ? of.errors : []
    for (const cause of [...members, of instanceof Error ? of.cause : undefined]) {
      if (cause === undefined || seen.has(cause) || causes.length >= 20) continue
      seen.add(cause)
      causes.push(nameAndMessage(cause))
      follow(cause)
    }
  }
  follow(error)
  return {
    ...nameAndMessage(error),
    ...(causes.length > 0 ? { causes } : {}),
    ...(withStack && error instanceof Error && error.stack ? { stack: error.stack } : {}),
  }
}

function nameAndMessage(error: unknown): { type: string; message: string } {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) }
  // A refused connection of Node has an empty message and says ECONNREFUSED in its code alone.
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return { type: error.constructor.name, message: error.message || code }
}

/** The finished line, secrets taken out of every key and value, in the order of the fields that is promised. */
function cleanLine(line: string, secrets: Iterable<string>): string {
  const known = [...secrets]
  const { timestamp, level, logger, message, ...context } = JSON.parse(line) as Record<string, unknown>
  const own = {
    timestamp,
    level,
    logger: withoutSecrets(logger, known),
    message: withoutSecrets(message, known),
  }
  return `${JSON.stringify({ ...own, ...(withoutSecrets(context, known) as object) })}\n`
}

function withoutSecrets(value: unknown, known: readonly string[]): unknown {
  if (typeof value === 'string') return redact(value, known)
  if (typeof value === 'number') return known.includes(String(value)) ? REDACTED : value
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, known))
  if (typeof value !== 'object' || value === null) return value
  const clean: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const hidden = isSecretName(key) && item !== null && typeof item !== 'boolean'
    clean[redact(key, known)] = hidden ? REDACTED : withoutSecrets(item, known)
  }
  return clean
}
