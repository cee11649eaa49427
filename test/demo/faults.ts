import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { erpSlot } from '../testbed/erp/schema.ts'
import { erpConnector, etlApp } from '../testbed/pipeline.ts'
import { descendants, PATIENCE_MS, waitFor } from '../testbed/process.ts'
import type { RunningDemo } from './running.ts'

interface Fault {
  /** What becomes visible, and where. */
  readonly watch: string
  /** Both resolve with what they did. */
  break(demo: RunningDemo): Promise<string>
  repair(demo: RunningDemo): Promise<string>
}

const TENANT = 'alpha'

/** Real faults on a running demo, by name. */
export const faults: Readonly<Record<string, Fault>> = {
  connector: {
    watch: `kafka_connect_task_state{connector="${erpConnector}",state="failed"} becomes 1 while the connector itself runs on; nothing is produced any more`,
    async break({ postgresUrl }) {
      await dropSlot(postgresUrl)
      return `dropped the replication slot ${erpSlot} of connector ${erpConnector}`
    },
    async repair({ connectUrl }) {
      // Without its slot the connector cannot go on from where it was: it forgets that, and reads all anew.
      const connector = `${connectUrl}/connectors/${erpConnector}`
      await request('PUT', `${connector}/stop`)
      await request('DELETE', `${connector}/offsets`)
      await request('PUT', `${connector}/resume`)
      return `connector ${erpConnector} was stopped, lost its offsets, and takes a new snapshot`
    },
  },
  etl: {
    watch: `pm2_processes_online{name="${etlApp}"} becomes 0; the lag of the group ${etlApp} grows`,
    async break({ pm2Home }) {
      await pm2(pm2Home, 'stop', etlApp)
      return `stopped ${etlApp} through PM2`
    },
    async repair({ pm2Home }) {
      await pm2(pm2Home, 'restart', etlApp)
      return `started ${etlApp} through PM2`
    },
  },
  redis: {
    watch: 'redis_up becomes 0, redis_queue_length goes after three intervals',
    async break({ pid, redisPid }) {
      if (!descendants(pid).includes(redisPid)) return 'redis is not running'
      process.kill(redisPid, 'SIGKILL')
      return `killed redis, process ${redisPid}`
    },
    async repair({ pid }) {
      process.kill(pid, 'SIGUSR2')
      return 'asked the demo to start redis again'
    },
  },
  drift: {
    watch: `cdc_row_difference{table="journals",tenant="${TENANT}"} rises above 0 at the next check`,
    async break({ clickhouseUrl }) {
      const client = createClient({ url: clickhouseUrl, database: 'erp' })
      try {
        const oldest = await client.query({
          query: `SELECT id FROM journals FINAL WHERE tenant = '${TENANT}' ORDER BY id LIMIT 3`,
          format: 'JSONEachRow',
        })
        const ids = (await oldest.json<{ id: string }>()).map(({ id }) => id)
        if (ids.length === 0) return `there are no journals of ${TENANT} in ClickHouse yet`
        await client.command({
          query: `ALTER TABLE journals DELETE WHERE tenant = '${TENANT}' AND id IN (${ids.join(', ')})`,
          clickhouse_settings: { mutations_sync: '2' },
        })
        return `deleted the journals ${ids.join(', ')} of ${TENANT} in ClickHouse, behind Debezium's back`
      } finally {
        await client.close()
      }
    },
    async repair({ postgresUrl }) {
      await withPostgres(postgresUrl, (client) =>
        client.query(`UPDATE ${TENANT}.journals SET updated_at = now()`),
      )
      return `touched every journal of ${TENANT} in PostgreSQL: Debezium sends them all again`
    },
  },
}

async function dropSlot(url: string): Promise<void> {
  await withPostgres(url, (client) =>
    // Debezium connects again by itself: it may be faster than we are.
    waitFor(`the slot ${erpSlot} to be dropped`, async () => {
      await client.query(
        `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
           WHERE slot_name = $1 AND active`,
        [erpSlot],
      )
      const { rowCount } = await client.query(
        `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`,
        [erpSlot],
      )
      return rowCount === 1
    }),
  )
}

async function withPostgres(url: string, action: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 60_000,
    query_timeout: 60_000,
  })
  await client.connect()
  try {
    await action(client)
  } finally {
    await client.end()
  }
}

/** Connect says 409 during a rebalance, and 400 to DELETE until the tasks have stopped. */
async function request(method: string, url: string): Promise<void> {
  await waitFor(`Connect to take ${method} ${url}`, async (signal) => {
    const response = await fetch(url, { method, signal })
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
    return true
  })
}

async function pm2(home: string, command: 'stop' | 'restart', app: string): Promise<void> {
  const commandLine = createRequire(import.meta.url).resolve('pm2/bin/pm2')
  await promisify(execFile)(process.execPath, [commandLine, command, app], {
    env: { ...process.env, PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true', PM2_NO_INTERACTION: 'true' },
    timeout: PATIENCE_MS,
  })
}
