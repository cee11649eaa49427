import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { reservePort } from '../ports.ts'
import { TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

export interface HealthApiPart extends ProcessPart {
  /** Answers with a health JSON that has the components `stays` and `goes`. */
  readonly url: string
  /** Takes a component out of it. */
  removeComponent(name: string): Promise<void>
}

/** An HTTP server as a process of its own, so that it can be frozen and killed. */
export async function startHealthApi(): Promise<HealthApiPart> {
  const data = dataFolder('health-api', undefined)
  const port = await reservePort()
  const url = `http://127.0.0.1:${port}/api/health`
  const server = new TestbedProcess({
    name: 'health-api',
    command: process.execPath,
    args: [fileURLToPath(new URL('../health-api.ts', import.meta.url)), String(port)],
    logFile: join(data.path, 'health-api.log'),
    ready: async (signal) => (await fetch(url, { signal })).ok,
  })
  const part = await startProcessPart(server, data)
  return {
    ...part,
    url,
    async removeComponent(name) {
      await fetch(new URL(`/${name}`, url), { method: 'DELETE' })
    },
  }
}
