import type { z } from 'zod'
import { shown } from './fields.ts'
import { type Path, pathText } from './source.ts'

/** What the validation of one part of the file complains about, its path from that part's root. */
export interface Complaint {
  readonly path: Path
  readonly message: string
  /** Set where the key itself is wrong, not its value. */
  readonly key?: 'unknown' | 'invalid'
}

type Checked<T> =
  | { readonly data: T; readonly complaints?: undefined }
  | { readonly data?: undefined; readonly complaints: readonly Complaint[] }

/** Validates, and words what is wrong in the terms of YAML. */
export function check<T>(schema: z.ZodType<T>, value: unknown): Checked<T> {
  const result = schema.safeParse(value, { error: wording })
  if (result.success) return { data: result.data }
  return { complaints: result.error.issues.flatMap((issue) => complaintsOf(issue)) }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
}

/**
 * The message for an issue whose schema has none of its own. Of a value of the wrong type only the type is
 * told: it may be a secret in the wrong place.
 */
function wording(issue: z.core.$ZodRawIssue): string | undefined {
  const { code, input } = issue
  if (code === 'invalid_type') {
    const expected = `expected ${TYPES[issue.expected] ?? issue.expected}`
    if (input === undefined) return `missing: ${expected}`
    const quotes = issue.expected === 'string' && typeof input !== 'object' ? ' (put it in quotes)' : ''
    return `${expected}, got ${typeName(input)}${quotes}`
  }
  if (code === 'invalid_value') return choice(issue.values, input)
  if (code === 'invalid_union' && issue.note === 'No matching discriminator') {
    const options = (issue as { options?: readonly unknown[] }).options ?? []
    return choice(options, (input as Record<string, unknown>)[String(issue.discriminator)])
  }
  return undefined
}

function choice(values: readonly unknown[], given: unknown): string {
  const expected = `expected ${values.length > 1 ? 'one of ' : ''}${values.map(shown).join(', ')}`
  return given === undefined ? `missing: ${expected}` : `${expected}, got ${shown(given)}`
}

/** A value as messages show it that may be a secret in the wrong place. */
export function typeName(value: unknown): string {
  if (typeof value === 'string') return 'a text'
  if (typeof value === 'number') return 'a number'
  return typeof value === 'boolean' ? String(value) : shown(value)
}

function complaintsOf(issue: z.core.$ZodIssue): Complaint[] {
  const { path, message } = issue
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: 'unknown key', key: 'unknown' }))
  }
  if (issue.code === 'invalid_key') {
    return [{ path, message: issue.issues[0]?.message ?? message, key: 'invalid' }]
  }
  if (issue.code === 'invalid_union' && message === 'Invalid input' && issue.errors.length > 0) {
    return nearestBranch(issue.errors).map((inner) => ({ ...inner, path: [...path, ...inner.path] }))
  }
  return [{ path, message: message.replace(/^[A-Z](?=[a-z])/, (c) => c.toLowerCase()) }]
}

/** What keeps the value from the alternative that it comes nearest to. */
function nearestBranch(branches: readonly (readonly z.core.$ZodIssue[])[]): readonly Complaint[] {
  const candidates = branches.map((issues) => issues.flatMap((issue) => complaintsOf(issue)))
  const fitting = candidates.filter((complaints) => !complaints.some(({ path }) => path.length === 0))
  const fewest = Math.min(...fitting.map(({ length }) => length))
  const nearest = fitting.filter(({ length }) => length === fewest)
  const [first = []] = nearest
  if (nearest.length === 1) return first
  if (nearest.length > 1) {
    // None is nearer than the others: what they have in common, and then what each of them wants.
    const shared = (one: Complaint) => nearest.every((all) => all.some((other) => sameText(one, other)))
    const wanted = nearest.flatMap((all) => all.filter((one) => !shared(one)).map(textOf))
    const rest = wanted.length > 0 ? [{ path: [], message: [...new Set(wanted)].join(', or ') }] : []
    return [...rest, ...first.filter(shared)]
  }
  const texts = new Set(candidates.flatMap((complaints) => complaints.map(({ message }) => message)))
  return [{ path: [], message: [...texts].join(', or ') }]
}

function textOf({ path, message }: Complaint): string {
  return `${pathText(path)}: ${message}`
}

function sameText(one: Complaint, other: Complaint): boolean {
  return textOf(one) === textOf(other)
}

/** Appends the known key that is nearest in spelling, where one is near. */
export function unknownKeyMessage(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known)
  return nearest === undefined ? 'unknown key' : `unknown key; did you mean "${nearest}"?`
}

/** The name within a third of the given one's length in edits, if any. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  let nearest: string | undefined
  let least = Math.max(1, Math.floor(given.length / 3)) + 1
  for (const name of names) {
    const distance = editDistance(given.toLowerCase(), name.toLowerCase())
    if (distance < least) {
      least = distance
      nearest = name
    }
  }
  return nearest
}

/** Insertions, deletions, replacements and swaps of neighbours. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = a[i - 1] === b[j - 1] ? 0 : 1
      const at = (from: readonly number[], index: number) => from[index] ?? Number.POSITIVE_INFINITY
      let cost = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + changed)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, at(beforeLast, j - 2) + 1)
      }
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}
