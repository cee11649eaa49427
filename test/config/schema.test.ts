// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { jsonSchema } from '../../src/config/schema.ts'
import { kinds as kindsByName } from './kinds.ts'

const here = import.meta.dirname
const kinds = await Promise.all(Object.values(kindsByName).map((load) => load()))
const schema = jsonSchema(kinds)
const validator = z.fromJSONSchema(schema)
const accepts = (text: string) => validator.safeParse(parse(text, { merge: true })).success

test('it is the same each time, and has a branch for each kind', () => {
  expect(JSON.stringify(jsonSchema(kinds))).toBe(JSON.stringify(schema))
  expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema')
  for (const { kind } of kinds) expect(JSON.stringify(schema)).toContain(`{"const":"${kind}"}`)
})

test('it tells editors what a key is for', () => {
  expect(JSON.stringify(schema)).toContain('"description":"How fine its series are."')
})

test('it accepts a valid file with variables in it', () => {
  expect(accepts(readFileSync(join(here, 'valid.yaml'), 'utf8'))).toBe(true)
})

describe('it refuses what the loader refuses', () => {
  // What a schema cannot say: rules between keys, other files, the environment, and YAML itself.
  const beyond = [
    'broken-alias',
    'declared-families',
    'duplicate-key',
    'duplicate-target',
    'labels',
    'schedules',
    'secret-files',
    'several-documents',
    'syntax',
    'timeout-over-interval',
    'unknown-tag',
    'variables',
    'watchdog-without-token',
  ]
  const names = readdirSync(join(here, 'invalid')).map((file) => file.replace('.yaml', ''))
  test.each(names.filter((name) => !beyond.includes(name)))('%s', (name) => {
    expect(accepts(readFileSync(join(here, 'invalid', `${name}.yaml`), 'utf8'))).toBe(false)
  })
})

test.each([
  ['interval: "${INTERVAL:-15s}"', true],
  ['interval: "15 sec"', false],
  ['page: "${PAGE}"', true],
  ['page: many', false],
  ['tls: "${TLS}"', true],
  ['granularity: "${G}"', true],
  ['granularity: group', false],
  ['max_series: 1.5', false],
  ['unknown: 1', false],
])('%s: %s', (line, accepted) => {
  expect(accepts(`collectors: [{ kind: queue, target: a, brokers: "b:1", ${line} }]`)).toBe(accepted)
})
