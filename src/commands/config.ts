import { collectorKinds } from '../collectors/index.ts'
import { loadConfig } from '../config/load.ts'
import { jsonSchema } from '../config/schema.ts'
import { showConfig } from '../config/show.ts'

/** Each prints to standard output; a bad configuration is a ConfigError. */
export function validateConfig(file: string): void {
  const config = loadConfig(file, { kinds: collectorKinds, env: process.env })
  const enabled = config.collectors.filter((collector) => collector.enabled).length
  console.log(`${file} is valid: ${config.collectors.length} collectors, ${enabled} enabled`)
}

export function printConfig(file: string): void {
  process.stdout.write(showConfig(loadConfig(file, { kinds: collectorKinds, env: process.env })))
}

export function printSchema(): void {
  process.stdout.write(`${JSON.stringify(jsonSchema(collectorKinds), null, 2)}\n`)
}
