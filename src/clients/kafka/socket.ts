import { connect, type Socket } from 'node:net'
import createSocketFactory from 'kafkajs/src/network/socketFactory.js'

/** Answers of a megabyte come in pieces of this size. */
const READ_BYTES = 64 * 1024
const KEEP_ALIVE_DELAY_MS = 60_000

const ofKafkajs = createSocketFactory()

/**
 * Sockets for kafkajs. One without TLS reads into a single piece of memory, over and over: whoever gets a chunk has to
 * copy what is to be kept before returning. Node would make 64 KiB anew for each read, and they stay until
 * a full garbage collection.
 */
export function socketTo(given: Parameters<typeof ofKafkajs>[0]): Socket {
  if (given.ssl) return ofKafkajs(given)
  const { host, port, onConnect } = given
  const socket = connect({
    host,
    port,
    onread: {
      buffer: Buffer.allocUnsafeSlow(READ_BYTES),
      callback(bytes, buffer) {
        socket.emit('data', Buffer.from(buffer.buffer, buffer.byteOffset, bytes))
        return true
      },
    },
  })
  socket.once('connect', onConnect)
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
  return socket
}
