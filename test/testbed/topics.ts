import type { ITopicConfig } from 'kafkajs'
import { patientClient } from './kafka-client.ts'
import { PATIENCE_MS, waitFor } from './process.ts'

/**
 * Creates topics, and resolves when the leaders of their partitions lead them: a broker tells who leads before that one
 * has begun. kafkajs would give up at a broker that has not heard of a new topic yet.
 */
export async function createTopics(bootstrap: string, topics: readonly ITopicConfig[]): Promise<void> {
  const client = patientClient(bootstrap)
  const admin = client.admin()
  await admin.connect()
  try {
    await admin.createTopics({ topics: [...topics], waitForLeaders: false, timeout: PATIENCE_MS })
    const names = topics.map(({ topic }) => topic)
    // Rejects while one of them is unknown, or a partition of it has no leader.
    await waitFor(`leaders of ${names.slice(0, 5).join(', ')} and so on`, async () => {
      const { topics: found } = await admin.fetchTopicMetadata({ topics: names })
      return found.length === names.length
    })
    for (const name of names) {
      await waitFor(`offsets of ${name}`, async () => (await admin.fetchTopicOffsets(name)).length > 0)
    }
  } finally {
    await admin.disconnect()
  }
}
