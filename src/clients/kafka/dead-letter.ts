/** What the headers of a dead letter say, as its writers leave them there. */
export interface DeadLetter {
  /** Undefined where there is no such header, or one that holds no name of a class. */
  readonly exceptionClass: string | undefined
  /** Of Kafka Connect; empty where unknown. */
  readonly connector: string
  /** Where the record came from; empty where unknown. */
  readonly topic: string
}

const CONNECTOR_HEADER = '__connect.errors.connector.name'

/** The first that a record has counts. */
const CLASS_HEADERS = [
  // Kafka Connect, with errors.deadletterqueue.context.headers.enable.
  '__connect.errors.exception.class.name',
  // Spring Kafka: the exception itself is often a wrapper of its own.
  'kafka_dlt-exception-cause-fqcn',
  'kafka_dlt-exception-fqcn',
  'kafka_dlt-key-exception-fqcn',
  // Spring Cloud Stream.
  'x-exception-fqcn',
  // Kafka Streams (KIP-1034).
  '__streams.errors.exception',
]

/** Of the same writers. */
const TOPIC_HEADERS = [
  '__connect.errors.topic',
  'kafka_dlt-original-topic',
  'x-original-topic',
  '__streams.errors.topic',
]

/** The headers that `readDeadLetter` wants. */
export const DEAD_LETTER_HEADERS: ReadonlySet<string> = new Set([
  CONNECTOR_HEADER,
  ...CLASS_HEADERS,
  ...TOPIC_HEADERS,
])

/** A name of a class in most languages. Anybody may write to a topic: a message or a key is no label. */
const CLASS_NAME = /^[\p{L}_$][\p{L}\p{N}_$.:]{0,199}$/u

const LONGEST_CONNECTOR = 200

export function readDeadLetter(headers: ReadonlyMap<string, string>): DeadLetter {
  const first = (names: readonly string[]) =>
    names.map((name) => headers.get(name)).find((value) => value !== undefined)
  const written = first(CLASS_HEADERS)
  const connector = headers.get(CONNECTOR_HEADER) ?? ''
  return {
    exceptionClass: written !== undefined && CLASS_NAME.test(written) ? written : undefined,
    connector: connector.length <= LONGEST_CONNECTOR ? connector : '',
    topic: first(TOPIC_HEADERS) ?? '',
  }
}
