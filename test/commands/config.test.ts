import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testbed/part.ts'
import { runCommand } from './daemon.ts'

const folder = temporaryFolder('config')
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

function written(text: string): string {
  const file = join(folder.path, 'config.yaml')
  writeFileSync(file, text)
  return file
}

const good = `
collectors:
  - kind: redis
    target: votes
    url: redis://:planted-password@localhost:6379
  - kind: pm2
    target: erp
    enabled: false
`

test('config validate says that a good file is valid', async () => {
  const file = written(good)
  expect(await runCommand('config', 'validate', file)).toEqual({
    exitCode: 0,
    stdout: `${file} is valid: 2 collectors, 1 enabled\n`,
    stderr: '',
  })
})

test('config validate lists every fault of a bad file, a line each, and ends with 2', async () => {
  const file = written(`
web:
  listen: nowhere
collectors:
  - kind: redis
    target: votes
    url: redis://localhost:6379
    interval: 5 minutes
    qeueus: [votes]
`)
  const { exitCode, stdout, stderr } = await runCommand('config', 'validate', file)
  expect(exitCode).toBe(2)
  expect(stdout).toBe('')
  const lines = stderr.trimEnd().split('\n')
  expect(lines).toEqual([
    expect.stringContaining(`${file}:3:11: web.listen: expected host:port`),
    expect.stringContaining(`${file}:8:15: collectors[0].interval: expected a duration`),
    expect.stringContaining(`${file}:9:5: collectors[0].qeueus: unknown key; did you mean "queues"?`),
  ])
})

test('a file that is not there is a fault of the configuration', async () => {
  const file = join(folder.path, 'absent.yaml')
  for (const args of [
    ['config', 'validate', file],
    ['run', '--config', file],
  ]) {
    const { exitCode, stderr } = await runCommand(...args)
    expect(stderr).toBe(`${file}:1:1: cannot read the file (no such file)\n`)
    expect(exitCode).toBe(2)
  }
})

test('config show masks secrets', async () => {
  const { exitCode, stdout } = await runCommand('config', 'show', written(good))
  expect(exitCode).toBe(0)
  expect(stdout).toContain('target: votes')
  expect(stdout).not.toContain('planted-password')
})

test('what is longer than a pipe holds arrives whole', async () => {
  const command = ['-c', '"$@" | cat', 'sh', process.execPath, main, 'config', 'schema']
  const { stdout } = await promisify(execFile)('sh', command, { maxBuffer: 16 * 1024 * 1024 })
  expect(stdout.length).toBeGreaterThan(65_536)
  expect(stdout).toBe((await runCommand('config', 'schema')).stdout)
  expect(stdout.endsWith('}\n')).toBe(true)
})

test('a reader that has seen enough ends it without a word', async () => {
  const command = ['-c', '"$@" | head -n 1', 'sh', process.execPath, main, 'config', 'schema']
  expect(await promisify(execFile)('sh', command)).toEqual({ stdout: '{\n', stderr: '' })
})

test('config schema prints the schema that is committed', async () => {
  const { exitCode, stdout } = await runCommand('config', 'schema')
  expect(exitCode).toBe(0)
  const committed = fileURLToPath(new URL('../../config/schema.json', import.meta.url))
  expect(JSON.parse(stdout)).toEqual(JSON.parse(readFileSync(committed, 'utf8')))
})

test.each([['fly'], ['config', 'fly'], ['run', '--fly'], []])(
  'bad usage ends with 2: %s',
  async (...args) => {
    const { exitCode, stderr } = await runCommand(...args)
    expect(exitCode).toBe(2)
    expect(stderr).toMatch(/unknown (command|option)|Usage: /)
  },
)

test('help and version are no failures', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(await runCommand('--version')).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: '' })
  const help = await runCommand('--help')
  expect(help.exitCode).toBe(0)
  expect(help.stdout).toContain('Usage: cdc-exporter')
})
