import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { collectorKinds } from '../../src/collectors/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { temporaryFolder } from '../testbed/part.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const folder = temporaryFolder('readme')
afterAll(() => folder.remove())

test('the configuration in the readme is valid', async () => {
  const text = /```yaml\n(web:[\s\S]*?)```/.exec(readme)?.[1] ?? ''
  for (const [, secret] of text.matchAll(/_file: (\/run\/secrets\/[\w-]+)/g)) {
    const file = join(folder.path, secret ?? '')
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, 'redis://localhost:6379')
  }
  const file = join(folder.path, 'config.yaml')
  writeFileSync(file, text.replaceAll('/run/secrets/', join(folder.path, 'run/secrets/')))
  const { collectors } = await loadConfig(file, { kinds: collectorKinds, env: {} })
  expect(collectors.map(({ kind }) => kind.kind)).toEqual([
    'kafka',
    'connect',
    'flink',
    'postgresql',
    'redis',
    'pm2',
    'drift',
    'canary',
    'clickhouse',
    'starrocks',
    'sql',
  ])
})

test('every npm script and every file that the readme names is there', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const named = [...readme.matchAll(/npm (?:run )?([a-z:-]+)/g)].map(([, name]) => name ?? '')
  for (const name of named.filter((each) => each !== 'ci' && each !== 'run'))
    expect(scripts).toHaveProperty(name)
  for (const [, file] of readme.matchAll(/\]\(([^)#]+)\)/g)) {
    expect(() => readFileSync(join(root, file ?? ''))).not.toThrow(/ENOENT/)
  }
})
