interface Decimal {
  readonly units: bigint
  /** Digits after the point. */
  readonly scale: number
}

/** How far two numbers may be apart, as decimal texts that are not negative; within either is enough. */
export interface Tolerance {
  readonly absolute: string
  /** A share of the first. */
  readonly relative: string
}

// Floats come with an exponent; three digits are room for every one of them.
const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?(?:e([+-]?\d{1,3}))?$/i

/** Whether the text is a number that the functions here can take: not NaN, and not infinite. */
export const isDecimal = (text: string): boolean => DECIMAL.test(text)

/** Exact `a - b` of decimal texts, without zeros at the end. Throws for a text that is no decimal, such as NaN. */
export function subtract(a: string, b: string): string {
  const [x, y] = [parse(a), parse(b)]
  const scale = Math.max(x.scale, y.scale)
  return print({ units: unitsAt(x, scale) - unitsAt(y, scale), scale })
}

/** Whether `a` and `b` are no further apart than that, exactly. */
export function isWithin(a: string, b: string, { absolute, relative }: Tolerance): boolean {
  const apart = size(parse(subtract(a, b)))
  const [share, of] = [parse(relative), size(parse(a))]
  const allowed = { units: share.units * of.units, scale: share.scale + of.scale }
  return !isGreater(apart, parse(absolute)) || !isGreater(apart, allowed)
}

/** The shortest text of the same number. */
export const canonical = (text: string): string => print(parse(text))

const unitsAt = ({ units, scale }: Decimal, wanted: number): bigint => units * 10n ** BigInt(wanted - scale)

const size = ({ units, scale }: Decimal): Decimal => ({ units: units < 0n ? -units : units, scale })

function isGreater(a: Decimal, b: Decimal): boolean {
  const scale = Math.max(a.scale, b.scale)
  return unitsAt(a, scale) > unitsAt(b, scale)
}

function parse(text: string): Decimal {
  const match = DECIMAL.exec(text)
  if (!match) throw new Error(`a sum is no decimal number: ${text}`)
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  const units = BigInt(`${whole}${fraction}`) * (sign === '-' ? -1n : 1n)
  const scale = fraction.length - Number(exponent)
  return scale >= 0 ? { units, scale } : { units: unitsAt({ units, scale }, 0), scale: 0 }
}

function print({ units, scale }: Decimal): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '')
  return `${units < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}
