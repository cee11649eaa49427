import mysql from 'mysql2/promise'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { starrocks } from '../../../src/collectors/starrocks/index.ts'
import { type MariadbPart, startMariadb } from '../../testbed/parts/mariadb.ts'
import { type StarrocksPart, startStarrocks } from '../../testbed/parts/starrocks.ts'
import { accessDenied, cluster, rowsOf } from '../../testbed/starrocks-cluster.ts'
import { checked, complaints } from '../check.ts'

let mariadb: MariadbPart
let part: StarrocksPart

beforeAll(async () => {
  mariadb = await startMariadb()
  const warehouse = await mysql.createConnection({ uri: mariadb.url('mysql'), multipleStatements: true })
  await warehouse.query('CREATE DATABASE erp; CREATE TABLE erp.orders (id int)')
  await warehouse.end()
  part = await startStarrocks({ tables: mariadb.url('erp') })
})
afterAll(async () => {
  await part?.remove()
  await mariadb?.remove()
})
beforeEach(async () => {
  await part.answer(cluster(part.ports))
})

const check = (given: object = {}) =>
  checked(starrocks, {
    hosts: part.host,
    username: part.username,
    password: part.password,
    databases: ['erp'],
    allow_tables: ['^erp\\.orders$'],
    ...given,
  })

test('a cluster that is as it should be has nothing to complain of', async () => {
  const found = await check()
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    'reachable',
    'authenticated',
    'version_supported',
    'cluster_rights',
    'database_exists erp',
    'table_matches ^erp\\.orders$',
    'completed',
  ])
  expect(found.version_supported?.message).toBe('version 3.3.5-6d81f75')
})

test('what is not there', async () => {
  expect(complaints(await check({ databases: ['erp', 'crm'], allow_tables: ['^erp\\.x'] }))).toEqual({
    'database_exists crm': expect.stringMatching(/^false: the user sees none .* → .*SHOW DATABASES;/),
    'table_matches ^erp\\.x': expect.stringMatching(/^false: the user sees none .* → .*SHOW TABLES/),
  })
})

test('a user without rights, in either way of granting them', async () => {
  await part.answer({
    answers: { 'SHOW FRONTENDS': accessDenied('OPERATE'), 'SHOW BACKENDS': accessDenied('OPERATE') },
  })
  expect(complaints(await check())).toEqual({
    cluster_rights: expect.stringMatching(
      /^false: monitor may not SHOW FRONTENDS or SHOW BACKENDS → GRANT OPERATE ON SYSTEM TO USER 'monitor';/,
    ),
  })
  const older = rowsOf({ version_comment: 'StarRocks version 2.4.1' })
  await part.answer({ answers: { 'SELECT @@version_comment AS version_comment': older } })
  expect(complaints(await check())).toEqual({
    version_supported: expect.stringMatching(/^false: version 2\.4\.1; 2\.5 or later is expected/),
    cluster_rights: expect.stringMatching(/→ GRANT ADMIN_PRIV ON/),
  })
})

test('what could not be found out is not called a lack', async () => {
  await part.answer({ answers: { 'SHOW BACKENDS': { error: { code: 1105, message: 'no leader' } } } })
  expect(complaints(await check())).toEqual({
    cluster_rights: expect.stringMatching(/^unknown: .*SHOW BACKENDS: no leader/),
    completed: expect.stringMatching(/^false: could not find out: cluster_rights/),
  })
})

test('no answer, and a wrong password', async () => {
  expect(complaints(await check({ hosts: '127.0.0.1:1' }))).toEqual({
    reachable: expect.stringMatching(/^false: starrocks at 127\.0\.0\.1:1: connect: .* → start a front end/),
  })
  const found = await check({ password: 'wr0ng-secret' })
  expect(complaints(found)).toEqual({
    authenticated: expect.stringMatching(/^false: .*Access denied for user 'monitor'.* → correct username/),
  })
  expect(found.reachable?.ok).toBe(true)
  expect(JSON.stringify(found)).not.toContain('wr0ng')
})
