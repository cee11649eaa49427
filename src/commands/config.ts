import { allKinds, collectorKinds } from '../collectors/index.ts'
import { loadConfig } from '../config/load.ts'
import { jsonSchema } from '../config/schema.ts'
import { showConfig } from '../config/show.ts'

/** Each prints to standard output; a bad configuration is a ConfigError. */
export async function validateConfig(file: string): Promise<void> {
  const config = await loadConfig(file, { kinds: collectorKinds, env: process.env })
  const enabled = config.collectors.filter((collector) => collector.enabled).length
  console.log(`${file} is valid: ${config.collectors.length} collectors, ${enabled} enabled`)
}

export async function printConfig(file: string): Promise<void> {
  process.stdout.write(showConfig(await loadConfig(file, { kinds: collectorKinds, env: process.env })))
}

export async function printSchema(): Promise<void> {
  process.stdout.write(`${JSON.stringify(jsonSchema(await allKinds()), null, 2)}\n`)
}
