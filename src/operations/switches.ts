import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

/** Environments that were switched on or off at run time; it goes before what the configuration says. */
export interface Switches {
  /** Undefined where nobody has switched it. */
  get(environment: string): boolean | undefined
  /** Kept at once. Throws when it cannot be written. */
  set(environment: string, enabled: boolean): void
}

/** As it is with the switches: an environment that was switched goes before what the configuration says of it. */
export function switched<
  S extends {
    readonly enabled: boolean
    readonly enabledInEnvironment: boolean
    readonly labels: Readonly<Record<string, string>>
  },
>(settings: S, switches: Switches): S {
  const on = switches.get(settings.labels.environment ?? '')
  return on === undefined ? settings : { ...settings, enabled: on && settings.enabledInEnvironment }
}

const kept = z.record(z.string(), z.object({ enabled: z.boolean() }))

/** Kept in a file of `folder` and so over restarts; until the restart without one. Throws for a broken file. */
export function openSwitches(folder: string | undefined): Switches {
  const file = folder === undefined ? undefined : join(folder, 'environments.json')
  const switches = new Map(file === undefined ? [] : read(file))
  return {
    get: (environment) => switches.get(environment),
    set(environment, enabled) {
      const next = new Map(switches).set(environment, enabled)
      if (folder !== undefined && file !== undefined) {
        mkdirSync(folder, { recursive: true, mode: 0o700 })
        write(file, Object.fromEntries([...next].map(([name, enabled]) => [name, { enabled }])))
      }
      switches.set(environment, enabled)
    },
  }
}

function read(file: string): [string, boolean][] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return []
    throw new Error(`cannot read ${file}`, { cause })
  }
  try {
    return Object.entries(kept.parse(JSON.parse(text))).map(([name, { enabled }]) => [name, enabled])
  } catch (cause) {
    throw new Error(`${file} does not hold the switches of environments`, { cause })
  }
}

/** The old file or the new one, whatever happens meanwhile. */
function write(file: string, value: z.infer<typeof kept>): void {
  const temporary = `${file}.new`
  const descriptor = openSync(temporary, 'w', 0o600)
  try {
    writeSync(descriptor, `${JSON.stringify(value, null, 2)}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, file)
}
