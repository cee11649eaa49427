import { isDeepStrictEqual } from 'node:util'
import type { ProbeResult } from '../../clients/http-probe.ts'
import type { Expected } from './config.ts'

type Response = NonNullable<ProbeResult['response']>

/** Why an answer is not as expected. */
export interface Fault {
  /** Names what was expected, never what came: that may be a secret. */
  readonly message: string
  /** By a regular expression on the body or a header. */
  readonly regex: boolean
}

export const isExpected = (status: number, expected: Pick<Expected, 'status'>): boolean =>
  expected.status.some((one) => (one.endsWith('xx') ? one[0] === `${status}`[0] : one === `${status}`))

/** The first thing that is not as expected. */
export function faultOf(response: Response, expected: Expected): Fault | undefined {
  const { status } = response
  if (!isExpected(status, expected)) {
    return { message: `status ${status}, expected ${expected.status.join(' or ')}`, regex: false }
  }
  for (const { name, match, not_match } of expected.headers) {
    const values = response.values(name)
    if (values.length === 0 && (match || !not_match)) {
      return { message: `there is no header ${name}`, regex: match !== undefined }
    }
    if (match && !values.some((value) => match.test(value))) {
      return { message: `header ${name} does not match ${match}`, regex: true }
    }
    if (not_match && values.some((value) => not_match.test(value))) {
      return { message: `header ${name} matches ${not_match}`, regex: true }
    }
  }
  const text = response.body.toString()
  const [missing] = expected.body.filter((one) => !one.test(text))
  if (missing) return { message: `the body does not match ${missing}`, regex: true }
  const [unwanted] = expected.not_body.filter((one) => one.test(text))
  if (unwanted) return { message: `the body matches ${unwanted}`, regex: true }
  if (expected.json.length === 0) return undefined
  const json = parsed(text)
  if (json === undefined) return { message: 'the body is no JSON', regex: false }
  for (const { pointer, equals, match } of expected.json) {
    const value = valueAt(json, pointer)
    const place = `the body at ${JSON.stringify(pointer)}`
    if (value === undefined) return { message: `${place}: there is nothing`, regex: false }
    if (match && !match.test(typeof value === 'string' ? value : JSON.stringify(value))) {
      return { message: `${place} does not match ${match}`, regex: false }
    }
    if (equals !== undefined && !isDeepStrictEqual(value, equals)) {
      return { message: `${place} is not ${JSON.stringify(equals)}`, regex: false }
    }
  }
  return undefined
}

/** Undefined where it is no JSON. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What a JSON pointer (RFC 6901) names in a document; undefined where there is nothing. */
function valueAt(document: unknown, pointer: string): unknown {
  let value = document
  for (const token of pointer.split('/').slice(1)) {
    const key = token.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null) return undefined
    if (Array.isArray(value) && !/^(0|[1-9]\d*)$/.test(key)) return undefined
    if (!Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}
