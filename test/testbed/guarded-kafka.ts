import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel } from 'kafkajs'
import { type KafkaPart, startKafka } from './parts/kafka.ts'

/** Such as `['DESCRIBE', 'TOPIC', '*']`: operation, kind of resource, its name. */
export type Right = readonly [
  'DESCRIBE' | 'DESCRIBE_CONFIGS' | 'READ',
  'CLUSTER' | 'GROUP' | 'TOPIC',
  resource: string,
]

/** Kafka that lets users do what they are permitted to, and anybody everything on its plain listener. */
export interface GuardedKafka extends KafkaPart {
  /** Of the user monitor. It counts a moment later, as what is forbidden. */
  permit(...rights: readonly Right[]): Promise<void>
  forbid(...rights: readonly Right[]): Promise<void>
  /** How a collector logs in on a listener: `sasl`, or `lost`, which advertises an address where nobody listens. */
  as(user: keyof typeof PASSWORDS, listener?: 'sasl' | 'lost'): { brokers: string; sasl: object }
}

const PASSWORDS = { monitor: 'monitor-secret', stranger: 'stranger-secret' }

export async function startGuardedKafka(): Promise<GuardedKafka> {
  const users = Object.entries(PASSWORDS).map(([user, password]) => `user_${user}="${password}"`)
  const module = 'org.apache.kafka.common.security.plain.PlainLoginModule'
  const settings = {
    'sasl.enabled.mechanisms': 'PLAIN',
    'plain.sasl.jaas.config': `${module} required ${users.join(' ')};`,
  }
  const part = await startKafka({
    settings: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
    },
    secured: {
      sasl: { protocol: 'SASL_PLAINTEXT', host: '127.0.0.1', settings },
      lost: { protocol: 'SASL_PLAINTEXT', host: '127.0.0.2', settings },
    },
  })
  const admin = new Kafka({ brokers: [part.bootstrap], logLevel: logLevel.NOTHING }).admin()
  const entry = ([operation, resource, resourceName]: Right) => ({
    resourceType: AclResourceTypes[resource],
    resourceName,
    // The name itself, no prefix.
    resourcePatternType: 3,
    principal: 'User:monitor',
    host: '*',
    operation: AclOperationTypes[operation],
    permissionType: AclPermissionTypes.ALLOW,
  })
  try {
    await admin.connect()
  } catch (error) {
    await part.remove()
    throw error
  }
  return {
    ...part,
    permit: async (...rights) => void (await admin.createAcls({ acl: rights.map(entry) })),
    forbid: async (...rights) => void (await admin.deleteAcls({ filters: rights.map(entry) })),
    as: (username, listener = 'sasl') => ({
      brokers: (part.secured.get(listener) ?? '').replace('127.0.0.2', '127.0.0.1'),
      sasl: { mechanism: 'plain', username, password: PASSWORDS[username] },
    }),
    async remove() {
      await admin.disconnect()
      await part.remove()
    },
  }
}
