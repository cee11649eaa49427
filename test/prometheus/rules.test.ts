import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const folder = (name: string): string => fileURLToPath(new URL(`../../prometheus/${name}/`, import.meta.url))

/** Output of promtool; rejects with its output when it finds a fault. */
function promtool(...args: string[]): string {
  try {
    return execFileSync('promtool', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`promtool ${args.join(' ')}\n${stdout}${stderr}`, { cause: error })
  }
}

const rules = readdirSync(folder('rules')).filter((file) => file.endsWith('.yml'))

describe.each(rules)('%s', (file) => {
  test('is valid', () => {
    expect(promtool('check', 'rules', `${folder('rules')}${file}`)).toContain('SUCCESS')
  })
  test('does what its tests say', () => {
    expect(promtool('test', 'rules', `${folder('tests')}${file}`)).toContain('SUCCESS')
  })
})

test('every test file belongs to a rule file', () => {
  expect(readdirSync(folder('tests'))).toEqual(rules)
})
