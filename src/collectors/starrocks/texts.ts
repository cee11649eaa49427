// What SHOW tells is text, made for people. What does not have the form that is expected is not known: undefined.

type Text = string | null | undefined

export const wholeNumber = (text: Text): number | undefined =>
  text && /^\d+$/.test(text) ? Number(text) : undefined

/** `12.34 %` is 0.1234. */
export function ratio(text: Text): number | undefined {
  const digits = /^(\d+(?:\.\d+)?) ?%$/.exec(text ?? '')?.[1]
  return digits === undefined ? undefined : Number(digits) / 100
}

const UNITS = ['', 'KB', 'MB', 'GB', 'TB', 'PB']

/** Bytes: `1.755 TB`, units of 1024. StarRocks writes no unit after bytes, or a B. */
export function bytes(text: Text): number | undefined {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?) ?([KMGTP]B|B|)$/.exec(text ?? '') ?? []
  if (digits === undefined) return undefined
  return Number(digits) * 1024 ** Math.max(0, UNITS.indexOf(unit))
}

/** 1 for `true`, 0 for `false`. */
export function truth(text: Text): number | undefined {
  if (text === 'true') return 1
  return text === 'false' ? 0 : undefined
}

/** The fields of a JSON object. */
export function jsonObject(text: Text): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
