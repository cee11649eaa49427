import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { allRules } from '../prometheus/rule-files.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { forOlderAlertmanager, shippedFile, withAllSwitchedOn } from './shipped.ts'

const folder = temporaryFolder('routes')
afterAll(() => folder.remove())

/** Output of amtool; throws with its output when it finds a fault. */
function amtool(...args: string[]): string {
  try {
    return execFileSync('amtool', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`amtool ${args.join(' ')}\n${stdout}${stderr}`, { cause: error })
  }
}

function written(name: string, text: string): string {
  const file = join(folder.path, name)
  const older = forOlderAlertmanager(text, (secret) => `http://localhost${secret}`)
  writeFileSync(file, older.replace('templates/*.tmpl', resolve('alertmanager/templates/*.tmpl')))
  return file
}

const shipped = readFileSync(shippedFile, 'utf8')
const asShipped = written('shipped.yml', shipped)
const allOn = written('all-on.yml', withAllSwitchedOn(shipped))

test('every secret is in a file', () => {
  const keys = shipped.matchAll(/\b(\w*(?:token|key|password|credentials|slack_api_url)\w*): (\S+)/g)
  const secrets = [...keys].map(([, key, value]) => ({ key, value }))
  expect(secrets.length).toBeGreaterThan(5)
  for (const { key, value } of secrets) {
    expect(key).toMatch(/_file$/)
    expect(value).toMatch(/^\/etc\/alertmanager\/secrets\//)
  }
})

test.each([
  ['as shipped', asShipped],
  ['with all that can be switched on', allOn],
])('is valid %s, its templates too', (_, file) => {
  expect(amtool('check-config', file)).toMatch(/1 templates\s+SUCCESS/)
})

test('every alert that routes and inhibitions name is a rule', () => {
  const named = [...shipped.matchAll(/alertname(?:=|!~)"([\w|]+)"/g)].flatMap(([, names = '']) =>
    names.split('|'),
  )
  const rules = new Set(allRules.map(({ alert }) => alert))
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter((name) => !rules.has(name))).toEqual([])
})

/** The receivers that an alert with these labels is sent to, in the order of the routes. */
function receiversOf(file: string, labels: string): string[] {
  return amtool('config', 'routes', 'test', `--config.file=${file}`, ...labels.split(' '))
    .trim()
    .split(',')
}

const production = 'environment=production platform=kafka target=erp'
const finance = `${production} team=Finance`
const others = `${production} team=Lainnya`

describe('an alert reaches', () => {
  test.each([
    // The dead-man's switch alone: nobody is paged by it.
    ['alertname=Watchdog severity=none', ['watchdog']],
    ['alertname=Watchdog severity=none prometheus=main', ['watchdog']],
    ['alertname=DailySummary severity=info', ['daily-summary']],

    // Critical, of a connector: Telegram by its own route alone.
    [
      `alertname=ConnectFailed severity=critical connector=orders ${others}`,
      ['telegram-connectors', 'email-connectors', 'critical'],
    ],
    [
      `alertname=ConnectFailed severity=critical connector=orders ${finance}`,
      ['telegram-connectors', 'email-connectors', 'finance-critical'],
    ],
    [
      `alertname=ConnectRestartLoop severity=critical connector=orders ${others}`,
      ['email-connectors', 'critical'],
    ],
    [
      `alertname=ConnectNotMoving severity=critical connector=orders ${finance}`,
      ['email-connectors', 'finance-critical'],
    ],
    [`alertname=ConnectTaskMissing severity=warning connector=orders ${others}`, ['slack']],
    [`alertname=ConnectPausedLong severity=warning connector=orders ${finance}`, ['finance']],
    [`alertname=ConnectRecovered severity=info connector=orders ${finance}`, ['telegram-connectors']],

    // Of a whole cluster.
    [`alertname=ConnectDown severity=critical ${production}`, ['telegram', 'email-connectors', 'critical']],
    [
      `alertname=ConnectManyFailed severity=critical ${production}`,
      ['telegram', 'email-connectors', 'critical'],
    ],

    // By severity and team.
    [`alertname=KafkaDown severity=critical ${production}`, ['telegram', 'critical']],
    [`alertname=KafkaConsumerStalled severity=critical ${finance}`, ['telegram', 'finance-critical']],
    [`alertname=KafkaLagHigh severity=warning ${finance}`, ['finance']],
    [`alertname=KafkaLagHigh severity=warning ${others}`, ['slack']],
    [`alertname=KafkaLagHigh severity=warning ${production} team=Sales`, ['slack']],
    [`alertname=DlqNotEmpty severity=info ${finance}`, ['email']],
    [`alertname=DlqNotEmpty severity=info ${others}`, ['email']],
    [
      'alertname=CriticalVoteQueueBacklog severity=critical target=votes queue=votes',
      ['telegram', 'critical'],
    ],
    ['alertname=CdcExporterDown severity=critical job=cdc-exporter', ['telegram', 'critical']],
    // Nobody has thought of it.
    ['alertname=SomethingElse', ['slack']],

    // By environment: nobody is woken, whatever the severity and the team; Telegram of connectors is for all.
    ['alertname=KafkaDown severity=critical environment=staging', ['slack-development']],
    [
      'alertname=KafkaConsumerStalled severity=critical environment=development team=Finance',
      ['slack-development'],
    ],
    [
      'alertname=ConnectFailed severity=critical environment=staging connector=orders team=Finance',
      ['telegram-connectors', 'slack-development'],
    ],

    // A sample goes where the alert itself would.
    [
      `alertname=ConnectFailed severity=critical connector=orders test=true ${others}`,
      ['telegram-connectors', 'email-connectors', 'critical'],
    ],
  ])('%s', (labels, receivers) => {
    expect(receiversOf(asShipped, labels)).toEqual(receivers)
  })
})

describe('with SMS and webhook switched on, an alert reaches', () => {
  test.each([
    ['alertname=Watchdog severity=none', ['watchdog']],
    [`alertname=KafkaDown severity=critical ${production}`, ['telegram', 'sms', 'webhook', 'critical']],
    [`alertname=KafkaLagHigh severity=warning ${finance}`, ['webhook', 'finance']],
    ['alertname=KafkaDown severity=critical environment=staging', ['webhook', 'slack-development']],
    [`alertname=DlqNotEmpty severity=info ${others}`, ['email']],
  ])('%s', (labels, receivers) => {
    expect(receiversOf(allOn, labels)).toEqual(receivers)
  })
})
