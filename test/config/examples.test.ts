import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { allKinds } from '../../src/collectors/index.ts'
import { newToken } from '../../src/operations/access.ts'
import { readExposition } from '../testbed/exposition-text.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { reservePort } from '../testbed/ports.ts'
import { TestbedProcess, waitFor } from '../testbed/process.ts'

const collectorKinds = await allKinds()

const main = resolve('src/main.ts')
const examples = resolve('config/examples')
const admin = newToken()
const folder = temporaryFolder('examples')
afterAll(() => folder.remove())

/** What the file would read from below /run/secrets. */
const SECRETS: Readonly<Record<string, string>> = {
  'postgresql-url': 'postgres://monitor:secret@127.0.0.1:1/erp',
  'postgresql-canary-url': 'postgres://canary:secret@127.0.0.1:1/erp',
  'starrocks-url': 'mysql://monitor:secret@127.0.0.1:1/erp',
  'redis-url': 'redis://127.0.0.1:1',
  'clickhouse-password': 'secret',
  'connect-password': 'secret',
  'kafka-password': 'secret',
  'starrocks-password': 'secret',
  'tokens.yaml': `users: [{ name: ada, role: admin, hash: ${admin.hash} }]`,
}

/** A value for each variable of the file: a port of its own, where nobody listens, for each address. */
async function environmentOf(text: string, name: string, listen: string): Promise<Record<string, string>> {
  const environment: Record<string, string> = {
    LISTEN: listen,
    SECRETS: join(folder.path, 'secrets'),
    STATE_DIR: join(folder.path, `${name}-state`),
    PM2_HOME: join(folder.path, 'pm2'),
  }
  for (const [, variable = '', preset = ''] of text.matchAll(/\$\{(\w+):-([^}]*)\}/g)) {
    const scheme = preset.startsWith('http') ? 'http://' : ''
    environment[variable] ??= `${scheme}127.0.0.1:${await reservePort()}`
  }
  return environment
}

interface Entry {
  readonly collector: string
  readonly target: string
  readonly enabled: boolean
}

describe.each(readdirSync(examples))('%s', (name) => {
  test('starts, and says of each of its collectors that nobody answers', async () => {
    mkdirSync(join(folder.path, 'secrets'), { recursive: true })
    for (const [file, text] of Object.entries(SECRETS))
      writeFileSync(join(folder.path, 'secrets', file), text)
    const file = join(examples, name)
    const text = readFileSync(file, 'utf8')
    const listen = `127.0.0.1:${await reservePort()}`
    const logFile = join(folder.path, `${name}.log`)
    const daemon = new TestbedProcess({
      name,
      command: process.execPath,
      args: [main, 'run', '--config', file],
      env: await environmentOf(text, name, listen),
      logFile,
      ready: async (signal) => (await fetch(`http://${listen}/health/ready`, { signal })).ok,
    })
    await daemon.start()
    try {
      const headers = { authorization: `Bearer ${admin.token}` }
      const get = async (path: string) => await (await fetch(`http://${listen}${path}`, { headers })).text()
      const { items } = JSON.parse(await get('/api/v1/collectors')) as { items: readonly Entry[] }
      expect(items).toHaveLength(text.match(/^ {2}- kind: /gm)?.length ?? 0)
      const enabled = items.filter((each) => each.enabled)
      // The series of a run appear a moment after it.
      await waitFor('every collector to say that nobody answers', async () => {
        const { samples } = readExposition(await get('/metrics'))
        const said = ({ collector, target }: Entry) => {
          const up = collectorKinds.find(({ kind }) => kind === collector)?.up
          return samples.some(
            ({ name: series, labels, value }) =>
              labels.target === target &&
              (up
                ? series === up.name && value === 0
                : series === 'cdc_collector_last_run_timestamp_seconds' && labels.collector === collector),
          )
        }
        return enabled.every(said)
      })
      await waitFor('its log', () => existsSync(logFile))
      expect(readFileSync(logFile, 'utf8')).not.toMatch(/secret@|"stack"/)
    } finally {
      await daemon.stop()
    }
  })
})

test('each is named in the readme', () => {
  const readme = readFileSync('README.md', 'utf8')
  for (const name of readdirSync(examples)) expect(readme).toContain(`config/examples/${name}`)
})
