import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { reservePort } from '../ports.ts'
import { TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'
import type { StandInState } from '../starrocks-cluster.ts'

export interface StarrocksPart extends ProcessPart {
  /** Of its query port. */
  readonly host: string
  /** For its query port and for the two of HTTP. */
  readonly ports: { readonly queryPort: number; readonly feHttpPort: number; readonly beHttpPort: number }
  readonly username: string
  readonly password: string
  /** Changes what it answers, statement by statement, and tells the whole; a start sets that back. */
  answer(change: Partial<StandInState>): Promise<StandInState>
}

/**
 * A stand-in for a front end of StarRocks and its cluster: see ../starrocks.ts. `tables`: URL of a MariaDB.
 * `password`: that of another one, of whose cluster it is.
 */
export async function startStarrocks({
  tables,
  password = `p@ss:/${randomBytes(8).toString('hex')}`,
}: {
  readonly tables?: string
  readonly password?: string
}): Promise<StarrocksPart> {
  const data = dataFolder('starrocks', undefined)
  const ports = {
    queryPort: await reservePort(),
    feHttpPort: await reservePort(),
    beHttpPort: await reservePort(),
  }
  const username = 'monitor'
  const control = `http://127.0.0.1:${ports.feHttpPort}/state`
  const server = new TestbedProcess({
    name: 'starrocks',
    command: process.execPath,
    args: [
      fileURLToPath(new URL('../starrocks.ts', import.meta.url)),
      ...Object.values(ports).map(String),
      ...[username, password],
      ...(tables === undefined ? [] : [tables]),
    ],
    logFile: join(data.path, 'starrocks.log'),
    ready: async (signal) => (await fetch(control, { signal })).ok,
  })
  const part = await startProcessPart(server, data)
  return {
    ...part,
    host: `127.0.0.1:${ports.queryPort}`,
    ports,
    username,
    password,
    async answer(change) {
      const answer = await fetch(control, { method: 'PUT', body: JSON.stringify(change) })
      return (await answer.json()) as StandInState
    },
  }
}
