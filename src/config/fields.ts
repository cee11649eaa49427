import { z } from 'zod'
import { Secret } from './secret.ts'

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** `15s`, `1h30m`, `250ms` → milliseconds, or undefined where the text is no duration or beyond counting. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(ms|s|m|h|d|w))+$/.test(text)) return undefined
  let total = 0
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d|w)/g)) {
    total += Number(count) * (DURATION_UNITS[unit ?? ''] ?? Number.NaN)
  }
  return Number.isSafeInteger(total) ? total : undefined
}

/** Milliseconds → the shortest text that `parseDuration` reads as the same number: `90m` is `1h30m`. */
export function formatDuration(ms: number): string {
  let rest = ms
  let text = ''
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const length = DURATION_UNITS[unit] ?? Number.NaN
    const count = Math.floor(rest / length)
    if (count > 0) text += `${count}${unit}`
    rest -= count * length
  }
  return text || '0s'
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
}

/** `64MiB`, `10kB` → bytes, or undefined where the text is no size or beyond counting. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$/.exec(text)
  const bytes = match ? Number(match[1]) * (SIZE_UNITS[match[2] ?? ''] ?? Number.NaN) : Number.NaN
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** A given value as messages show it. What is in a list or a map is not shown: a secret may be in there. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  return JSON.stringify(typeof value === 'string' && value.length > 80 ? `${value.slice(0, 80)}…` : value)
}

/** Whether it is a name of the time zone database, such as `Europe/Berlin`. */
export function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** The message of a field that wanted `expected`. */
const wanted = (expected: string) => (issue: { readonly input?: unknown }) =>
  issue.input === undefined
    ? `missing: expected ${expected}`
    : `expected ${expected}, got ${shown(issue.input)}`

/** A text that a parser turns into a value, with one message for every text that does not fit. */
function parsed<T>(pattern: RegExp, parse: (text: string) => T | undefined, expected: string) {
  return z
    .string({ error: wanted(expected) })
    .regex(pattern, { error: wanted(expected) })
    .transform((text, context) => {
      const value = parse(text)
      if (value !== undefined) return value
      context.addIssue({ code: 'custom', message: `expected ${expected}, got ${shown(text)}` })
      return z.NEVER
    })
}

/** Milliseconds, from `15s`, `5m`, `1h30m`. */
export const duration = () =>
  parsed(/^(\d+(ms|s|m|h|d|w))+$/, parseDuration, 'a duration such as 15s, 5m or 1h30m')

/** Bytes, from `64MiB`, `10GB`. */
export const size = () =>
  parsed(/^\d+(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$/, parseSize, 'a size such as 64MiB or 10GB')

/** A whole number; a text of digits counts, since `${VAR}` gives text. */
export const integer = (min: number, max = Number.MAX_SAFE_INTEGER) => {
  const expected =
    max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`
  return z
    .union([z.int(), z.string().regex(/^-?\d+$/, { error: wanted(expected) })], { error: wanted(expected) })
    .transform(Number)
    .refine((n) => n >= min && n <= max, { error: wanted(expected) })
}

/** A boolean; the texts true and false count, since `${VAR}` gives text. */
export const boolean = () =>
  z
    .union([z.boolean(), z.enum(['true', 'false'])], { error: wanted('true or false') })
    .transform((value) => value === true || value === 'true')

/** `host:port` items: a list, or one comma-separated text. IPv6 as `[::1]:9092`. */
export const hostList = () => {
  const item = /^(\[[0-9a-fA-F:.]+\]|[^\s:,[\]]+):\d{1,5}$/
  const expected = 'host:port, in a list or separated by commas'
  return z
    .union([z.array(z.string()), z.string()], { error: wanted(expected) })
    .transform((value, context) => {
      const hosts = (typeof value === 'string' ? value.split(',') : value).map((text) => text.trim())
      if (hosts.length === 0) context.addIssue({ code: 'custom', message: `expected ${expected}, got none` })
      for (const [index, host] of hosts.entries()) {
        if (item.test(host) && Number(host.slice(host.lastIndexOf(':') + 1)) <= 65_535) continue
        context.addIssue({
          code: 'custom',
          path: typeof value === 'string' ? [] : [index],
          message: `expected host:port, got ${shown(host)}`,
        })
      }
      return hosts
    })
}

/** An http or https URL without a trailing slash. */
export const httpUrl = () =>
  z
    .string({ error: wanted('a URL such as http://localhost:8083') })
    .regex(/^https?:\/\/[^\s/]+/, { error: wanted('a URL such as http://localhost:8083') })
    .transform((url) => url.replace(/\/+$/, ''))

/** http or https URLs without trailing slashes, at least one: a list, or one comma-separated text. */
export const httpUrlList = () =>
  z
    .union([z.array(z.string()), z.string()], {
      error: 'expected a list of URLs, or a text with commas between them',
    })
    .transform((value) => (typeof value === 'string' ? value.split(',') : value).map((text) => text.trim()))
    .pipe(z.array(httpUrl()).min(1))

/** A regular expression of JavaScript, with the `u` flag. */
export const pattern = () =>
  z.string({ error: wanted('a regular expression') }).transform((text, context) => {
    try {
      return new RegExp(text, 'u')
    } catch (error) {
      context.addIssue({
        code: 'custom',
        message: `not a regular expression: ${error instanceof Error ? error.message : error}`,
      })
      return z.NEVER
    }
  })

/** An object of exactly these keys; an unknown one is an error. */
export const settings = <const S extends z.ZodRawShape>(shape: S) => z.strictObject(shape)

type WithSecrets<S extends z.ZodRawShape, R extends string, O extends string> = z.output<z.ZodObject<S>> &
  Readonly<Record<R, Secret>> &
  Readonly<Partial<Record<O, Secret>>>

/**
 * An object in which some keys are secrets. Each secret `key` may be given in place or as `key_file`, a
 * file to read it from, never both; the result holds a `Secret` under `key`.
 */
export function settingsWithSecrets<
  const S extends z.ZodRawShape,
  const R extends string = never,
  const O extends string = never,
>(
  shape: S,
  secrets: { readonly required?: readonly R[]; readonly optional?: readonly O[] },
): z.ZodType<WithSecrets<S, R, O>> {
  const required = new Set<string>(secrets.required)
  const keys = [...(secrets.required ?? []), ...(secrets.optional ?? [])]
  const secretShape: Record<string, z.ZodType> = {}
  for (const key of keys) {
    // Its message never says what was given.
    secretShape[key] = z.string({ error: 'expected a text (in quotes, if it is a number)' }).optional()
    secretShape[`${key}_file`] = z
      .string()
      .optional()
      .describe(
        `File that holds ${key}; read anew at each use. A relative path starts at this file's folder.`,
      )
  }
  return z
    .strictObject({ ...shape, ...secretShape })
    .superRefine(
      (value, context) => {
        const given = value as Record<string, unknown>
        for (const key of keys) {
          const both = given[key] !== undefined && given[`${key}_file`] !== undefined
          const neither = given[key] === undefined && given[`${key}_file`] === undefined
          if (both) {
            context.addIssue({
              code: 'custom',
              path: [`${key}_file`],
              message: `give ${key} or ${key}_file, not both`,
            })
          }
          if (neither && required.has(key)) {
            context.addIssue({ code: 'custom', path: [key], message: `missing: give ${key} or ${key}_file` })
          }
        }
      },
      // Runs beside other faults of the object, so that one pass lists them all; not where there is no object.
      { when: ({ value }) => typeof value === 'object' && value !== null && !Array.isArray(value) },
    )
    .transform((value) => {
      const result: Record<string, unknown> = { ...value }
      for (const key of keys) {
        const { [key]: inline, [`${key}_file`]: file } = result
        delete result[`${key}_file`]
        delete result[key]
        if (typeof file === 'string') result[key] = new Secret({ file })
        else if (typeof inline === 'string') result[key] = new Secret({ value: inline })
      }
      return result as unknown as WithSecrets<S, R, O>
    })
}
