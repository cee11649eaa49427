import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { clickHouseFolder } from '../clickhouse.ts'
import { reservePort } from '../ports.ts'
import { TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, processPart } from '../process-part.ts'

export interface ClickHouseOptions {
  /** Existing folder for its data; a temporary one where absent. */
  readonly folder?: string
  /** Asked of the user `default`; none where absent. */
  readonly password?: string
}

export interface ClickHousePart extends ProcessPart {
  readonly port: number
  /** Of its HTTP interface, without user and password. */
  readonly url: string
}

const server = fileURLToPath(new URL('../clickhouse/server.ts', import.meta.url))

/** The ClickHouse engine behind ClickHouse's HTTP interface, on loopback. */
export async function startClickHouse(options: ClickHouseOptions = {}): Promise<ClickHousePart> {
  const { folder, password = '' } = options
  const data = dataFolder('clickhouse', folder)
  const port = await reservePort()
  const url = `http://127.0.0.1:${port}`
  const testbedProcess = new TestbedProcess({
    name: 'clickhouse',
    command: process.execPath,
    args: [server, String(port), join(data.path, 'data'), clickHouseFolder],
    env: { CLICKHOUSE_PASSWORD: password },
    logFile: join(data.path, 'clickhouse.log'),
    ready: async (signal) => (await fetch(`${url}/ping`, { signal })).ok,
  })
  await testbedProcess.start()
  return { ...processPart(testbedProcess, data), port, url }
}
