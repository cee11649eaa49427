import type { Clock } from '../../clock.ts'
import type { TlsSettings } from '../tls.ts'
import { BrokerConnection, parseAddress, type Request } from './connection.ts'
import { fetchRecords } from './records.ts'
import { DESCRIBE_LOG_DIRS, LIST_GROUPS, listOffsets, METADATA, offsetFetch } from './requests.ts'
import { type SaslSettings, securityOf } from './security.ts'

/** What one broker says when it is met for the first time. */
export interface FirstContact {
  /** Requests that it does not speak, of those that nothing works without. */
  readonly lacks: readonly string[]
  /** Whether the user may DESCRIBE the cluster; undefined where the broker does not tell. */
  readonly mayDescribeCluster: boolean | undefined
}

const NEEDED: readonly Request<unknown>[] = [
  METADATA,
  LIST_GROUPS,
  offsetFetch([]),
  listOffsets([], false, () => {}),
  fetchRecords([], { partitionBytes: 0, totalBytes: 0 }),
]

/** Of no topic: whether it is answered is all that is asked. */
const ASK_FOR_RIGHT: typeof DESCRIBE_LOG_DIRS = {
  ...DESCRIBE_LOG_DIRS,
  // Before, a refusal is an empty answer.
  min: 3,
  write: (writer) => {
    writer.array([], () => {}).tags()
  },
}

/** Meets brokers by `host:port`, each over a connection of its own. Rejects with the whole chain of causes as text. */
export function firstContacts(
  settings: {
    readonly tls?: TlsSettings | undefined
    readonly sasl?: SaslSettings | undefined
    readonly broker_timeout: number
  },
  clock: Clock,
  signal: AbortSignal,
): (address: string) => Promise<FirstContact> {
  const timeout = settings.broker_timeout
  const security = securityOf(settings, timeout, clock)
  return async (address) => {
    try {
      const connection = await BrokerConnection.open(parseAddress(address), security, timeout, signal)
      try {
        return await meet(connection, signal)
      } finally {
        connection.close()
      }
    } catch (cause) {
      signal.throwIfAborted()
      throw new Error(chainOf(cause), { cause })
    }
  }
}

async function meet(connection: BrokerConnection, signal: AbortSignal): Promise<FirstContact> {
  const lacks = NEEDED.filter((request) => connection.version(request) === undefined).map(({ name }) => name)
  if (lacks.length > 0) return { lacks, mayDescribeCluster: undefined }
  // A listener that wants SASL closes the connection only now.
  await connection.send(METADATA, signal)
  return { lacks, mayDescribeCluster: await mayDescribe(connection, signal) }
}

async function mayDescribe(connection: BrokerConnection, signal: AbortSignal): Promise<boolean | undefined> {
  if (connection.version(ASK_FOR_RIGHT) === undefined) return undefined
  try {
    await connection.send(ASK_FOR_RIGHT, signal)
    return true
  } catch (error) {
    signal.throwIfAborted()
    return chainOf(error).includes('CLUSTER_AUTHORIZATION_FAILED') ? false : undefined
  }
}

/** An error and its causes in one line. */
export function chainOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${chainOf(error.cause)}`
}
