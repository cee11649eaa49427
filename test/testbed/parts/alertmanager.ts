import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { reservePort } from '../ports.ts'
import { TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

export interface AlertmanagerOptions {
  /** Existing folder for its configuration and data; a temporary one where absent. */
  readonly folder?: string
  /** alertmanager.yml as an object: `route`, `receivers`, … */
  readonly config: Readonly<Record<string, unknown>>
}

export interface AlertmanagerPart extends ProcessPart {
  readonly url: string
}

/** Debian's Alertmanager on loopback, alone: it looks for no peers. */
export async function startAlertmanager({ folder, config }: AlertmanagerOptions): Promise<AlertmanagerPart> {
  const data = dataFolder('alertmanager', folder)
  const url = `http://127.0.0.1:${await reservePort()}`
  const configFile = join(data.path, 'alertmanager.yml')
  writeFileSync(configFile, stringify(config))
  const process = new TestbedProcess({
    name: 'alertmanager',
    command: 'prometheus-alertmanager',
    args: [
      `--config.file=${configFile}`,
      `--storage.path=${join(data.path, 'data')}`,
      `--web.listen-address=${new URL(url).host}`,
      '--cluster.listen-address=',
    ],
    logFile: join(data.path, 'alertmanager.log'),
    ready: async (signal) => (await fetch(`${url}/-/ready`, { signal })).ok,
  })
  const part = await startProcessPart(process, data)
  return { ...part, url }
}
