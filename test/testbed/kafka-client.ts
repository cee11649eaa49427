import { Kafka, logLevel, type Message } from 'kafkajs'

/** A client that waits long for a broker of a busy machine, and says nothing of it. */
export const patientClient = (bootstrap: string): Kafka =>
  new Kafka({
    clientId: 'testbed',
    brokers: bootstrap.split(','),
    logLevel: logLevel.NOTHING,
    retry: { retries: 15 },
  })

/** Writes to a topic by a client that is closed again. */
export async function produce(bootstrap: string, topic: string, messages: Message[]): Promise<void> {
  const producer = patientClient(bootstrap).producer()
  await producer.connect()
  try {
    await producer.send({ topic, messages })
  } finally {
    await producer.disconnect()
  }
}
