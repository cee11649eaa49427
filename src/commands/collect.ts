import { errorLine } from '../app.ts'
import { systemClock } from '../clock.ts'
import { Instance } from '../collection/instance.ts'
import { collectorKinds } from '../collectors/index.ts'
import { loadConfig } from '../config/load.ts'
import { redact } from '../log.ts'
import { Exposition } from '../metrics/exposition.ts'
import { reporterInMemory } from '../operations/failure-log.ts'

export interface CollectOptions {
  readonly config: string
  /** A kind, where several have this target. */
  readonly collector?: string
}

/**
 * One run of each collector of this target, enabled or not, and what a scrape would see of it on standard
 * output. Resolves to whether all could read their backends; says on standard error why not.
 */
export async function collect(target: string, { config: file, collector }: CollectOptions): Promise<boolean> {
  const { collectors, secrets } = await loadConfig(file, { kinds: collectorKinds, env: process.env })
  const chosen = collectors.filter(
    (settings) => settings.target === target && (collector === undefined || settings.kind.kind === collector),
  )
  if (chosen.length === 0) {
    const have = collectors.map(({ kind, target }) => `${kind.kind}/${target}`).join(', ')
    throw new Error(`${file} has no such collector; it has ${have}`)
  }
  const say = (instance: Instance, error: unknown) => {
    const { kind, target } = instance.settings
    const known = secrets.flatMap((secret) => secret.known ?? [])
    process.stderr.write(`${kind.kind}/${target}: ${redact(errorLine(error), known)}\n`)
  }
  const exposition = new Exposition()
  const instances = chosen.map(
    (settings) =>
      new Instance(
        { ...settings, enabled: true, checkInterval: undefined },
        systemClock,
        exposition,
        {
          failed: (instance, _, error) => say(instance, error),
          recovered: () => {},
          partsFailed: (instance, parts) => {
            for (const { cause } of parts) say(instance, cause)
          },
          seriesDropped: () => {},
        },
        reporterInMemory(settings),
      ),
  )
  try {
    for (const instance of instances) {
      await instance.start()
      await instance.collectNow()
    }
    await exposition.publish()
    const { plain, release } = await exposition.read()
    for (const bytes of plain) process.stdout.write(bytes)
    release()
    return instances.every(({ state }) => state.success)
  } finally {
    await Promise.all(instances.map((instance) => instance.stop()))
  }
}
