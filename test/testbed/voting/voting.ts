import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { reservePort } from '../ports.ts'
import { TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

/** One process of the voting app, which tells its metrics at `/metrics`. */
interface VotingPart extends ProcessPart {
  readonly url: string
}

/** vote → Redis list `votes` → worker → PostgreSQL table `votes` → result. */
export interface VotingApp {
  readonly vote: VotingPart
  readonly worker: VotingPart
  readonly result: VotingPart
  remove(): Promise<void>
}

export async function startVoting(urls: { redis: string; postgres: string }): Promise<VotingApp> {
  const env = { REDIS_URL: urls.redis, POSTGRES_URL: urls.postgres }
  const parts: VotingPart[] = []
  async function start(name: string, script: URL): Promise<VotingPart> {
    const port = await reservePort()
    const url = `http://127.0.0.1:${port}`
    const data = dataFolder(name, undefined)
    const child = new TestbedProcess({
      name,
      command: process.execPath,
      args: [fileURLToPath(script)],
      env: { ...env, PORT: String(port) },
      logFile: join(data.path, `${name}.log`),
      ready: async (signal) => (await fetch(`${url}/metrics`, { signal })).ok,
    })
    const part = { ...(await startProcessPart(child, data)), url }
    parts.push(part)
    return part
  }
  const remove = async () => {
    await Promise.all(parts.map((part) => part.remove()))
  }
  try {
    const [vote, worker, result] = [
      await start('vote', new URL('vote.ts', import.meta.url)),
      await start('worker', new URL('worker.ts', import.meta.url)),
      await start('result', new URL('result.ts', import.meta.url)),
    ]
    return { vote, worker, result, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
