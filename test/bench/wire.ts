import { connect, createServer, type Socket } from 'node:net'
import { EARLIEST, LATEST } from '../../src/clients/kafka/requests.ts'
import { Reader } from '../../src/clients/kafka/wire.ts'

/** Between a client and the one broker of a cluster. */
export interface Wire {
  /** What the client takes for the broker. */
  readonly bootstrap: string
  /** Requests so far, by name; ListOffsets by timestamp, which are questions for an age, apart. */
  readonly requests: ReadonlyMap<string, number>
  close(): void
}

const METADATA = 3
const LIST_OFFSETS = 2
const NAMES: Readonly<Record<number, string>> = {
  0: 'Produce',
  1: 'Fetch',
  2: 'ListOffsets',
  3: 'Metadata',
  9: 'OffsetFetch',
  10: 'FindCoordinator',
  15: 'DescribeGroups',
  16: 'ListGroups',
  18: 'ApiVersions',
  32: 'DescribeConfigs',
  35: 'DescribeLogDirs',
  55: 'DescribeQuorum',
  69: 'ConsumerGroupDescribe',
  77: 'ShareGroupDescribe',
}

export const PROBE = 'ListOffsets by timestamp'

/**
 * Counts Kafka's requests on their way to a broker. Where Metadata tells of the broker's address, the answer
 * is changed to this one, so that all of the client's connections come this way.
 */
export async function startWire(broker: string): Promise<Wire> {
  const [host = '', portText] = broker.split(':')
  const brokerPort = Number(portText)
  const requests = new Map<string, number>()
  const sockets = new Set<Socket>()
  let port = 0
  const server = createServer((client) => {
    const upstream = connect(brokerPort, host)
    /** Correlation ids of Metadata requests that have no answer yet. */
    const metadata = new Set<number>()
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.setNoDelay(true)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
    eachFrame(client, (frame) => {
      const key = frame.readInt16BE(4)
      const name = key === LIST_OFFSETS && isProbe(frame) ? PROBE : (NAMES[key] ?? `API key ${key}`)
      requests.set(name, (requests.get(name) ?? 0) + 1)
      if (key === METADATA) metadata.add(frame.readInt32BE(8))
      upstream.write(frame)
    })
    eachFrame(upstream, (frame) => {
      if (metadata.delete(frame.readInt32BE(4))) {
        const address = (at: number) => {
          const bytes = Buffer.alloc(host.length + 4)
          bytes.write(host)
          bytes.writeInt32BE(at, host.length)
          return bytes
        }
        const at = frame.indexOf(address(brokerPort))
        if (at >= 0) address(port).copy(frame, at)
      }
      client.write(frame)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address !== null && typeof address === 'object') port = address.port
  return {
    bootstrap: `127.0.0.1:${port}`,
    requests,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Calls back with every whole frame, its four bytes of length included. */
function eachFrame(socket: Socket, take: (frame: Buffer) => void): void {
  let parts: Buffer[] = []
  let length = 0
  socket.on('data', (chunk) => {
    parts.push(Buffer.from(chunk))
    length += chunk.length
    while (length >= 4) {
      const [first = Buffer.alloc(0)] = parts
      if (first.length < 4) parts = [Buffer.concat(parts)]
      const size = 4 + (parts[0]?.readInt32BE(0) ?? 0)
      if (length < size) return
      const all = parts.length === 1 ? (parts[0] ?? first) : Buffer.concat(parts)
      parts = all.length > size ? [all.subarray(size)] : []
      length -= size
      take(all.subarray(0, size))
    }
  })
}

/** Whether a ListOffsets request asks by timestamp, and not for an end of the log. */
function isProbe(frame: Buffer): boolean {
  const isFlexible = frame.readInt16BE(6) >= 6
  // Behind length, key, version, correlation id and the client's name.
  const reader = new Reader(frame.subarray(14 + Math.max(0, frame.readInt16BE(12))), isFlexible)
  reader.tags()
  reader.int32()
  reader.int8()
  const timestamps = reader.array(() => {
    reader.skipString()
    const ofTopic = reader.array(() => {
      reader.int32()
      reader.int32()
      const timestamp = reader.int64()
      reader.tags()
      return timestamp
    })
    reader.tags()
    return ofTopic
  })
  return timestamps.flat().some((timestamp) => timestamp !== EARLIEST && timestamp !== LATEST)
}
