import { BrokerConnection, failOn, parseAddress, type Request } from '../../src/clients/kafka/connection.ts'
import { PATIENCE_MS, waitFor } from './process.ts'

/** Topic → partition → offset. */
export type Offsets = Readonly<Record<string, Readonly<Record<number, number>>>>

const PLAIN = { tls: undefined, sasl: undefined }

/**
 * Commits offsets for a group without a member, as of a consumer that is gone. In one request; kafkajs's
 * admin joins the group for each topic, which takes seconds.
 */
export async function commitOffsets(bootstrap: string, group: string, offsets: Offsets): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS)
  const [seed = ''] = bootstrap.split(',')
  const any = await BrokerConnection.open(parseAddress(seed), PLAIN, PATIENCE_MS, signal)
  let coordinator: BrokerConnection | undefined
  try {
    await waitFor(`the coordinator of ${group}`, async () => {
      const address = await any.send(findCoordinator(group), signal)
      coordinator = await BrokerConnection.open(address, PLAIN, PATIENCE_MS, signal)
      await coordinator.send(offsetCommit(group, offsets), signal)
      return true
    })
  } finally {
    any.close()
    coordinator?.close()
  }
}

function findCoordinator(group: string): Request<{ host: string; port: number }> {
  return {
    name: 'FindCoordinator',
    key: 10,
    min: 1,
    max: 2,
    flexibleFrom: 3,
    write: (writer) => {
      writer.string(group).int8(0)
    },
    read: (reader) => {
      reader.int32()
      failOn(reader.int16(), 'FindCoordinator')
      reader.skipString()
      reader.int32()
      return { host: reader.string(), port: reader.int32() }
    },
  }
}

function offsetCommit(group: string, offsets: Offsets): Request<object> {
  return {
    name: 'OffsetCommit',
    key: 8,
    min: 7,
    max: 7,
    flexibleFrom: 8,
    write: (writer) => {
      writer
        .string(group)
        .int32(-1)
        .string('')
        .string(null)
        .array(Object.entries(offsets), ([topic, partitions]) => {
          writer.string(topic).array(Object.entries(partitions), ([partition, offset]) => {
            writer.int32(Number(partition)).int64(offset).int32(-1).string(null)
          })
        })
    },
    read: (reader) => {
      reader.int32()
      reader.array(() => {
        reader.skipString()
        reader.array(() => {
          reader.int32()
          failOn(reader.int16(), 'OffsetCommit')
        })
      })
      return {}
    },
  }
}
