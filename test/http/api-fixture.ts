import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { z } from 'zod'
import { startApp } from '../../src/app.ts'
import { defineCollector, type ObservedFailure, seconds } from '../../src/collection/collector.ts'
import { settings } from '../../src/config/fields.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createLogger } from '../../src/log.ts'
import { newToken } from '../../src/operations/access.ts'
import { temporaryFolder } from '../testbed/part.ts'

type Entry = Readonly<Record<string, unknown>>

export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** What any answer may have, for a test that knows what it asked for. */
  readonly body: Entry & {
    readonly error: string
    readonly items: readonly Entry[]
    readonly total: number
    readonly hint: { readonly id: string; readonly first_steps: readonly string[] }
    readonly history: readonly Entry[]
  }
}

export interface Fleets {
  readonly url: string
  readonly folder: string
  /** Resolves when a run has reported that these, and no others, fail at the target. */
  observe(target: string, failures: readonly ObservedFailure[]): Promise<void>
  /** `token`: name of one of the people below. */
  ask(method: string, path: string, options?: { token?: string; body?: string }): Promise<Answer>
  /** The lines of the logger `audit`. */
  audited(): readonly Record<string, unknown>[]
  /** The daemon takes the file with these tokens into force. */
  reload(people: readonly Person[] | undefined): Promise<void>
  stop(): Promise<void>
}

interface Person {
  readonly name: string
  readonly role: string
  readonly teams?: readonly string[]
}

export const people: readonly Person[] = [
  { name: 'ada', role: 'admin' },
  { name: 'lea', role: 'team-lead', teams: ['Finance'] },
  { name: 'vic', role: 'viewer' },
]

/** The daemon in this process with two fleets, which fail as the test says. */
export async function serveFleets(who: readonly Person[] | undefined): Promise<Fleets> {
  const folder = temporaryFolder('api')
  const failing = new Map<string, readonly ObservedFailure[]>()
  const waiting = new Set<{ target: string; resolve: () => void }>()
  const fleet = defineCollector({
    kind: 'fleet',
    health: { key: 'fleet', title: 'Fleet' },
    settings: settings({ note: z.string().optional() }),
    families: [],
    defaults: { interval: seconds(1), timeout: seconds(1) },
    create: (_, { target, failures }) => ({
      async collect() {
        failures.report(failing.get(target) ?? [])
        for (const one of [...waiting].filter((one) => one.target === target)) {
          waiting.delete(one)
          one.resolve()
        }
      },
    }),
  })
  const tokens = new Map<string, string>()
  const configure = (who: readonly Person[] | undefined) => {
    for (const { name } of who ?? []) tokens.set(name, tokens.get(name) ?? newToken().token)
    const entries = who?.map((person) => ({ ...person, hash: sha256(tokens.get(person.name) ?? '') }))
    writeFileSync(join(folder.path, 'tokens.yaml'), stringify({ users: entries }))
    const file = join(folder.path, 'config.yaml')
    writeFileSync(
      file,
      stringify({
        web: { listen: '127.0.0.1:0' },
        state_dir: 'state',
        ...(who ? { api: { tokens_file: 'tokens.yaml' } } : {}),
        defaults: { interval: '20ms' },
        collectors: [
          { kind: 'fleet', target: 'erp', environment: 'production', platform: 'kafka' },
          { kind: 'fleet', target: 'crm', environment: 'staging', platform: 'raft' },
        ],
      }),
    )
    return loadConfig(file, { kinds: { fleet: async () => fleet }, env: {} })
  }
  const lines: Record<string, unknown>[] = []
  const log = createLogger({
    level: 'info',
    secrets: () => [],
    destination: { write: (line) => void lines.push(JSON.parse(line)) },
  })
  const app = await startApp(await configure(who), { log, version: '1.2.3' })
  const url = `http://127.0.0.1:${app.port}`
  return {
    url,
    folder: folder.path,
    observe(target, failures) {
      failing.set(target, failures)
      return new Promise((resolve) => waiting.add({ target, resolve }))
    },
    async ask(method, path, { token, body } = {}) {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: token === undefined ? {} : { authorization: `Bearer ${tokens.get(token) ?? token}` },
        ...(body === undefined ? {} : { body }),
      })
      return {
        status: response.status,
        headers: response.headers,
        body: (await response.json()) as Answer['body'],
      }
    },
    audited: () => lines.filter(({ logger }) => logger === 'audit'),
    reload: async (who) => await app.apply(await configure(who)),
    async stop() {
      await app.stop()
      folder.remove()
    },
  }
}

/** As the documentation says that the hash is made. */
function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
