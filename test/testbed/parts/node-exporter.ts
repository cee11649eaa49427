import { join } from 'node:path'
import { reservePort } from '../ports.ts'
import { TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

export interface NodeExporterPart extends ProcessPart {
  readonly url: string
}

/** Debian's node_exporter on loopback, on this machine. */
export async function startNodeExporter(): Promise<NodeExporterPart> {
  const data = dataFolder('node-exporter', undefined)
  const url = `http://127.0.0.1:${await reservePort()}`
  const process = new TestbedProcess({
    name: 'node-exporter',
    command: 'prometheus-node-exporter',
    args: [`--web.listen-address=${new URL(url).host}`],
    logFile: join(data.path, 'node-exporter.log'),
    ready: async (signal) => (await fetch(`${url}/metrics`, { signal })).ok,
  })
  return { ...(await startProcessPart(process, data)), url }
}
