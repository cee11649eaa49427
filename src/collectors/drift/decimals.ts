interface Decimal {
  readonly units: bigint
  /** Digits after the point. */
  readonly scale: number
}

/** Exact `a - b` of decimal texts, without zeros at the end. Throws for a text that is no decimal, such as NaN. */
export function subtract(a: string, b: string): string {
  const [x, y] = [parse(a), parse(b)]
  const scale = Math.max(x.scale, y.scale)
  return print({ units: unitsAt(x, scale) - unitsAt(y, scale), scale })
}

/** The shortest text of the same number. */
export const canonical = (text: string): string => print(parse(text))

const unitsAt = ({ units, scale }: Decimal, wanted: number): bigint => units * 10n ** BigInt(wanted - scale)

function parse(text: string): Decimal {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text)
  if (!match) throw new Error(`a sum is no decimal number: ${text}`)
  const [, sign = '', whole = '', fraction = ''] = match
  return { units: BigInt(`${sign}${whole}${fraction}`), scale: fraction.length }
}

function print({ units, scale }: Decimal): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '')
  return `${units < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}
