/** https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-change-events-value */

export interface Change {
  readonly operation: string
  /** When it was committed in the source, in milliseconds since the epoch; undefined where it does not tell, and for snapshots. */
  readonly committedAt: number | undefined
}

const OPERATIONS: Readonly<Record<string, string>> = {
  c: 'insert',
  u: 'update',
  d: 'delete',
  r: 'snapshot',
  t: 'truncate',
}

export const UNKNOWN = 'unknown'

const NO_ENVELOPE: Change = { operation: UNKNOWN, committedAt: undefined }

const OPENING_BRACE = 0x7b

/** Of a record’s value, in JSON with or without its schema; any other value is of the operation `unknown`. */
export function readEnvelope(value: Buffer): Change {
  if (value[0] !== OPENING_BRACE) return NO_ENVELOPE
  const whole = parsed(value)
  const envelope = isRecord(whole?.payload) && 'schema' in whole ? whole.payload : whole
  const { op, source } = envelope ?? {}
  const operation = typeof op === 'string' && isRecord(source) ? OPERATIONS[op] : undefined
  if (operation === undefined) return NO_ENVELOPE
  const time = isRecord(source) ? source.ts_ms : undefined
  const isTold = typeof time === 'number' && time > 0 && operation !== 'snapshot'
  return { operation, committedAt: isTold ? time : undefined }
}

function parsed(value: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const whole: unknown = JSON.parse(value.toString())
    return isRecord(whole) ? whole : undefined
  } catch {
    return undefined
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
