import fc from 'fast-check'

/** A row of the table `every`, as each side takes it. */
export interface GeneratedRow {
  readonly id: string
  readonly source: Readonly<Record<string, unknown>>
  readonly sink: Readonly<Record<string, unknown>>
}

/** Written to both sides the same way, or not. */
interface Value {
  readonly source: unknown
  readonly sink: unknown
}

const same = (value: unknown): Value => ({ source: value, sink: value })

const signed = (bits: bigint) => fc.bigInt({ min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n })

const integer = (bits: bigint) => signed(bits).map((n) => same(String(n)))

const decimal = (digits: number, scale: number) =>
  fc.bigInt({ min: -(10n ** BigInt(digits)) + 1n, max: 10n ** BigInt(digits) - 1n }).map((units) => {
    const text = (units < 0n ? -units : units).toString().padStart(scale + 1, '0')
    return same(`${units < 0n ? '-' : ''}${text.slice(0, -scale)}.${text.slice(-scale)}`)
  })

/** PostgreSQL knows no NUL in a text. What the row is put together with is among the others. */
const text = (maxLength: number) =>
  fc
    .oneof(
      fc.string({ maxLength, unit: 'grapheme' }),
      fc
        .array(fc.constantFrom('|', '~', ':', '\\', 'N', "'", '1', '\n', ' ', 'é', '🚚', ''), { maxLength })
        .map((parts) => parts.join('')),
    )
    .map((value) => [...value.replaceAll('\0', '')].slice(0, maxLength).join(''))

const MICROS_A_DAY = 86_400_000_000n

/** Microseconds since the epoch → `2026-11-21 07:24:52.123456`. */
function timeText(micros: bigint): string {
  const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = (micros - fraction) / 1_000_000n
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19).replace('T', ' ')
  return `${whole}.${fraction.toString().padStart(6, '0')}`
}

const time = (from: string, to: string, digits: number) => {
  const micros = (day: string) => BigInt(Date.parse(day)) * 1000n
  return fc.bigInt({ min: micros(from), max: micros(to) }).map((at) => {
    const text = timeText(at)
    return { source: `${text}+00`, sink: digits === 0 ? text.slice(0, 19) : `${text.slice(0, 20 + digits)}Z` }
  })
}

const VALUES: Readonly<Record<string, fc.Arbitrary<Value>>> = {
  small: integer(16n),
  whole: integer(32n),
  big: integer(64n),
  dec: decimal(30, 6),
  money: decimal(18, 4),
  free: decimal(38, 10),
  txt: text(60).map(same),
  short: text(40).map(same),
  // Padded by PostgreSQL, and so by Debezium.
  fixed: text(12).map((value) => ({ source: value, sink: value.padEnd(12) })),
  mood: fc.constantFrom('sad', 'glad').map(same),
  flag: fc.boolean().map(same),
  day: fc
    .bigInt({ min: -25_000n, max: 100_000n })
    .map((day) => same(timeText(day * MICROS_A_DAY).slice(0, 10))),
  at: time('1905-01-01', '2290-01-01', 6).map(({ source, sink }) => ({ source: source.slice(0, -3), sink })),
  at_zone: time('1905-01-01', '2290-01-01', 6),
  at_milli: time('1905-01-01', '2290-01-01', 3),
  at_second: time('1971-01-01', '2100-01-01', 0).map(({ source, sink }) => ({
    source: source.slice(0, -3),
    sink,
  })),
  bin: fc
    .uint8Array({ maxLength: 40 })
    .map((bytes) => ({ source: Buffer.from(bytes), sink: Buffer.from(bytes).toString('hex') })),
  uid: fc.uuid().map(same),
  ratio: fc.double({ noNaN: true, noDefaultInfinity: true }).map(same),
  doc: fc.constant(same('{"a": 1}')),
}

export const anyRow: fc.Arbitrary<GeneratedRow> = fc
  .tuple(
    signed(64n),
    fc.record(
      Object.fromEntries(
        Object.entries(VALUES).map(([name, value]) => [name, fc.option(value, { nil: same(null), freq: 6 })]),
      ),
    ),
  )
  .map(([id, values]) => {
    const side = (name: 'source' | 'sink') =>
      Object.fromEntries(Object.entries(values).map(([column, value]) => [column, (value as Value)[name]]))
    const own = { id: String(id), created_at: '2026-01-02 03:04:05.678901+00' }
    return {
      id: String(id),
      source: { ...own, ...side('source') },
      sink: { ...own, ...side('sink'), created_at: '2026-01-02T03:04:05.678901Z' },
    }
  })
