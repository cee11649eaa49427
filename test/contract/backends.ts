import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient as createClickHouse } from '@clickhouse/client'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { createClient as createRedis } from 'redis'
import { commitOffsets } from '../testbed/offsets.ts'
import type { Part } from '../testbed/part.ts'
import { startClickHouse } from '../testbed/parts/clickhouse.ts'
import { startConnect } from '../testbed/parts/connect.ts'
import { startFlink } from '../testbed/parts/flink.ts'
import { startHealthApi } from '../testbed/parts/health-api.ts'
import { startKafka } from '../testbed/parts/kafka.ts'
import { startPm2 } from '../testbed/parts/pm2.ts'
import { startPostgres } from '../testbed/parts/postgres.ts'
import { startRedis } from '../testbed/parts/redis.ts'
import { startStarrocks } from '../testbed/parts/starrocks.ts'
import { waitFor } from '../testbed/process.ts'
import { routineLoad, rowsOf } from '../testbed/starrocks-cluster.ts'
import { createTopics } from '../testbed/topics.ts'

/** What the contract needs of the real part behind a kind. */
export interface Backend {
  /** The kind's own keys, as in a configuration file. */
  readonly settings: unknown
  /** The part that the collector asks: it is frozen, killed and started again. */
  readonly part: Pick<Part, 'freeze' | 'thaw' | 'kill' | 'start'>
  /**
   * Something of the backend whose series all carry `label`, and that goes by `remove`. A kind that watches
   * only what its configuration names has none: what is gone there is 0 or a failed part.
   */
  readonly entity?: { readonly label: string; remove(): Promise<void> }
  /**
   * Of a kind to which a backend that is down is what it was to find out, no run that failed: the series that is 0
   * then, without its labels.
   */
  readonly finding?: string
  /** Stops everything. */
  remove(): Promise<void>
}

/** How to start the backend of each kind. A kind without an entry fails the suite. */
export const backends: Readonly<Record<string, () => Promise<Backend>>> = {
  async canary() {
    const [source, sink] = await Promise.all([startPostgres(), startClickHouse()])
    await postgresqlCommand(
      source.url(),
      'CREATE TABLE cdc_canary (id text PRIMARY KEY, sequence bigint NOT NULL, written_at timestamptz NOT NULL)',
    )
    await clickHouseCommand(
      sink.url,
      'CREATE TABLE cdc_canary (id String, sequence Int64) ENGINE = ReplacingMergeTree ORDER BY id',
    )
    return {
      settings: {
        source: { postgresql: { url: source.url() } },
        sink: { clickhouse: { url: sink.url } },
        watch: '200ms',
      },
      part: together(source, sink),
      remove: async () => void (await Promise.all([source.remove(), sink.remove()])),
    }
  },

  async clickhouse() {
    const part = await startClickHouse()
    await clickHouseCommand(part.url, 'CREATE TABLE stays (id UInt64) ENGINE = MergeTree ORDER BY id')
    await clickHouseCommand(part.url, 'CREATE TABLE goes (id UInt64) ENGINE = MergeTree ORDER BY id')
    return {
      settings: { url: part.url },
      part,
      entity: { label: 'table="goes"', remove: () => clickHouseCommand(part.url, 'DROP TABLE goes SYNC') },
      remove: part.remove,
    }
  },

  async connect() {
    const kafka = await startKafka()
    const part = await startConnect({ bootstrap: kafka.bootstrap })
    const file = join(part.folder, 'lines.txt')
    writeFileSync(file, 'a line\n')
    for (const name of ['stays', 'goes']) {
      await part.putConnector(name, {
        'connector.class': 'org.apache.kafka.connect.file.FileStreamSourceConnector',
        'tasks.max': '1',
        topic: 'lines',
        file,
      })
      await waitFor(`${name} to run`, async () => (await part.status(name))?.tasks[0]?.state === 'RUNNING')
    }
    return {
      settings: { urls: part.url },
      part,
      entity: {
        label: 'connector="goes"',
        async remove() {
          await part.deleteConnector('goes')
          await waitFor('Connect to forget it', async () => !(await part.status('goes')))
        },
      },
      async remove() {
        await part.remove()
        await kafka.remove()
      },
    }
  },

  async drift() {
    const [source, sink] = await Promise.all([startPostgres(), startClickHouse()])
    await postgresqlCommand(
      source.url(),
      'CREATE TABLE journals (id bigint PRIMARY KEY, created_at timestamptz NOT NULL)',
    )
    await clickHouseCommand(
      sink.url,
      'CREATE TABLE journals (id UInt64, created_at DateTime64(6)) ENGINE = ReplacingMergeTree ORDER BY id',
    )
    return {
      settings: {
        source: { postgresql: { url: source.url() } },
        sink: { clickhouse: { url: sink.url } },
        lag: '100ms',
        tables: [{ source: 'public.journals', sink: 'journals', key: 'id', watermark: 'created_at' }],
      },
      part: together(source, sink),
      remove: async () => void (await Promise.all([source.remove(), sink.remove()])),
    }
  },

  async flink() {
    const part = await startFlink([
      ['stays', 'runs'],
      ['goes', 'runs'],
    ])
    const restarts = async (id: string) =>
      (await (await fetch(`${part.url}/jobs/${id}/metrics?get=numRestarts`)).json()) as unknown[]
    for (const { jid } of await part.jobs())
      await waitFor('Flink to tell the metrics of a job', async () => (await restarts(jid)).length > 0)
    return {
      settings: { urls: part.url },
      part,
      // Flink lists a job that has ended for an hour, but has no metrics of it any more.
      entity: { label: 'flink_job_restarts_total{job="goes"', remove: () => part.cancel('goes') },
      remove: part.remove,
    }
  },

  async http() {
    const part = await startHealthApi()
    return {
      settings: { urls: part.url, health_json: true, probe_timeout: '5s' },
      part,
      entity: { label: 'component="goes"', remove: () => part.removeComponent('goes') },
      finding: 'probe_success',
      remove: part.remove,
    }
  },

  async kafka() {
    const part = await startKafka()
    await createTopics(
      part.bootstrap,
      ['stays', 'goes'].map((topic) => ({ topic, numPartitions: 2 })),
    )
    return {
      settings: { brokers: part.bootstrap },
      part,
      entity: {
        label: 'topic="goes"',
        remove: () => deleteTopic(part.bootstrap, 'goes'),
      },
      remove: part.remove,
    }
  },

  async pm2() {
    const part = await startPm2()
    const script = join(part.home, 'idle.cjs')
    writeFileSync(script, 'setInterval(() => {}, 1000)')
    for (const name of ['stays', 'goes']) await part.startApp({ name, script })
    return {
      settings: {
        home: part.home,
        expect: { stays: 1 },
        custom_metrics: {
          'Heap Usage': { metric: 'app_heap_used_ratio', unit: 'ratio', help: 'Part of its heap in use.' },
        },
      },
      part,
      entity: { label: 'name="goes"', remove: () => part.deleteApp('goes') },
      remove: part.remove,
    }
  },

  async postgresql() {
    const part = await startPostgres()
    await postgresqlCommand(part.url(), 'CREATE DATABASE goes')
    return {
      // By all their labels, two instances would see each other's sessions, and not their own.
      settings: { url: part.url(), activity_labels: [] },
      part,
      entity: {
        label: 'datname="goes"',
        remove: () => postgresqlCommand(part.url(), 'DROP DATABASE goes WITH (FORCE)'),
      },
      remove: part.remove,
    }
  },

  async redis() {
    const part = await startRedis()
    const client = createRedis({ url: part.url })
    await client.connect()
    await client.rPush('votes', ['a', 'b'])
    client.destroy()
    return { settings: { url: part.url, queues: ['votes'] }, part, remove: part.remove }
  },

  async sql() {
    const part = await startPostgres()
    await postgresqlCommand(part.url(), "CREATE TABLE votes AS SELECT unnest('{stays,goes}'::text[]) AS vote")
    return {
      settings: {
        connection: { postgresql: { url: part.url() } },
        packs: [{ pack: 'votes' }],
        queries: [
          {
            name: 'voters',
            sql: 'SELECT vote, count(*) AS voters FROM votes GROUP BY vote',
            labels: ['vote'],
            values: { voters: { metric: 'app_voters', help: 'Voters of an option.' } },
          },
        ],
      },
      part,
      entity: {
        label: '="goes"',
        remove: () => postgresqlCommand(part.url(), "DELETE FROM votes WHERE vote = 'goes'"),
      },
      remove: part.remove,
    }
  },

  async starrocks() {
    const part = await startStarrocks({})
    const jobs = 'SHOW ALL ROUTINE LOAD FROM `erp`'
    await part.answer({
      answers: { [jobs]: rowsOf(routineLoad({ Name: 'stays' }), routineLoad({ Name: 'goes' })) },
    })
    const { host, username, password } = part
    return {
      settings: { hosts: host, username, password, databases: ['erp'], http_metrics: true },
      part,
      entity: {
        label: 'job="goes"',
        remove: async () =>
          void (await part.answer({ answers: { [jobs]: rowsOf(routineLoad({ Name: 'stays' })) } })),
      },
      remove: part.remove,
    }
  },

  async sync() {
    const part = await startKafka()
    await createTopics(
      part.bootstrap,
      ['stays', 'goes'].map((topic) => ({ topic, numPartitions: 1 })),
    )
    await commitOffsets(part.bootstrap, 'sink', { stays: { 0: 0 }, goes: { 0: 0 } })
    return {
      settings: {
        brokers: part.bootstrap,
        groups: ['^sink$'],
        topics: [{ match: '^(?<table>stays|goes)$' }],
      },
      part,
      entity: { label: 'table="goes"', remove: () => deleteTopic(part.bootstrap, 'goes') },
      remove: part.remove,
    }
  },
}

/** Both ends as one part. */
function together(...parts: readonly Backend['part'][]): Backend['part'] {
  return {
    freeze: () => parts.forEach((part) => void part.freeze()),
    thaw: () => parts.forEach((part) => void part.thaw()),
    kill: async () => void (await Promise.all(parts.map((part) => part.kill()))),
    start: async () => void (await Promise.all(parts.map((part) => part.start()))),
  }
}

async function clickHouseCommand(url: string, query: string): Promise<void> {
  const client = createClickHouse({ url })
  try {
    await client.command({ query })
  } finally {
    await client.close()
  }
}

async function postgresqlCommand(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

const deleteTopic = (bootstrap: string, topic: string) =>
  withAdmin(bootstrap, async (admin) => {
    await admin.deleteTopics({ topics: [topic] })
    await waitFor('Kafka to have deleted it', async () => !(await admin.listTopics()).includes(topic))
  })

async function withAdmin(
  bootstrap: string,
  work: (admin: ReturnType<Kafka['admin']>) => Promise<unknown>,
): Promise<void> {
  const admin = new Kafka({
    clientId: 'contract',
    brokers: [bootstrap],
    logLevel: logLevel.NOTHING,
  }).admin()
  await admin.connect()
  try {
    await work(admin)
  } finally {
    await admin.disconnect()
  }
}
