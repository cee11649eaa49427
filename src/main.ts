#!/usr/bin/env node
import { Command, InvalidArgumentError, Option } from 'commander'
import { errorLine } from './app.ts'
import type { AlertsTestOptions } from './commands/alerts.ts'
import type { CheckOptions } from './commands/check.ts'
import type { CollectOptions } from './commands/collect.ts'
import type { ChangeOptions, OperateCommandOptions, SelectOptions } from './commands/connect.ts'
import type { BisectOptions, DriftOptions } from './commands/drift.ts'
import type { CommonOptions, ListOptions } from './commands/failures.ts'
import type { LagOptions } from './commands/lag.ts'
import { run, version } from './commands/run.ts'
import type { StatusOptions } from './commands/status.ts'
import { UsageError } from './commands/usage-error.ts'
import { parseDuration } from './config/fields.ts'
import { ConfigError } from './config/load.ts'
import { ROLES, type Role } from './config/tokens.ts'

// Exit codes: 0 good, 1 failed, 2 bad usage or configuration.
// A command is loaded when it is given: the daemon has no use for the others, nor they for each other.
const program = new Command('cdc-exporter')
  .description('Prometheus exporter and alert sidecar for change-data-capture pipelines')
  .version(version)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))

const CONFIG = ['-c, --config <file>', 'configuration file', 'config/cdc-exporter.yaml'] as const

program
  .command('run')
  .description('watch the pipeline and serve /metrics')
  .option(...CONFIG)
  .action(({ config }: { config: string }) => run(config))

program
  .command('collect')
  .description('run a collector once, and print what a scrape would see of it')
  .argument('<target>', 'as in the configuration')
  .option(...CONFIG)
  .option('--collector <kind>', 'where collectors of several kinds have this target')
  .action(async (target: string, options: CollectOptions) => {
    const { collect } = await import('./commands/collect.ts')
    if (!(await collect(target, options))) process.exitCode = 1
  })

program
  .command('check')
  .description('look at the configuration, every backend, its rights and the parts of the pipeline in it')
  .argument('[target...]', 'only these: target or kind/target; all that are enabled where absent')
  .option(...CONFIG)
  .option('--json', 'JSON instead of a table')
  .action(async (targets: readonly string[], options: CheckOptions) => {
    const { check } = await import('./commands/check.ts')
    process.exitCode = await check(targets, options, interrupted())
  })

program
  .command('status')
  .description('the collectors of a running daemon')
  .option('--url <url>', 'where it listens', 'http://localhost:9979')
  .option('--token-file <file>', 'API token, where the daemon has any')
  .option('--watch', 'again and again, until interrupted')
  .option('--json', 'JSON instead of a table')
  .action(async (options: StatusOptions) => {
    const { status } = await import('./commands/status.ts')
    if (!(await status(options, interrupted()))) process.exitCode = 1
  })

const config = program.command('config').description('look at a configuration')
config
  .command('validate')
  .description('list every fault of the file, each with its line')
  .argument('[file]', 'configuration file', 'config/cdc-exporter.yaml')
  .action(async (file: string) => (await import('./commands/config.ts')).validateConfig(file))
config
  .command('show')
  .description('print the configuration in force, defaults filled in, secrets masked')
  .argument('[file]', 'configuration file', 'config/cdc-exporter.yaml')
  .action(async (file: string) => (await import('./commands/config.ts')).printConfig(file))
config
  .command('schema')
  .description('print the JSON Schema of the file')
  .action(async () => (await import('./commands/config.ts')).printSchema())

program
  .command('lag')
  .description('lag of every consumer group, with rates from two passes')
  .option(...CONFIG)
  .option('--target <name>', 'one kafka collector of the configuration; all where absent')
  .option('--group <regex>', 'only consumer groups that match', regex)
  .option('--topic <regex>', 'only topics that match', regex)
  .option('--tenant <name>', 'only topics of this tenant, by the topic rules')
  .option('--team <name>', 'only topics of this team, by the topic rules')
  .option('--behind', 'only groups with lag')
  .option('--interval <duration>', 'time between two passes', milliseconds, 2_000)
  .option('--watch', 'again and again, until interrupted')
  .option('--json', 'JSON instead of a table')
  .action(async (options: LagOptions) => (await import('./commands/lag.ts')).lag(options, interrupted()))

const drift = program.command('drift').description('rows that one side has and the other has not, now')
drift
  .command('show')
  .description('compare as the configuration says; ends with 1 where something is confirmed to differ')
  .argument('<check>', 'a drift collector, or a table of it: target, target/table or target/table/tenant')
  .option(...CONFIG)
  .option('--json', 'JSON instead of tables')
  .action(async (check: string, options: DriftOptions) => {
    const { showDrift } = await import('./commands/drift.ts')
    if (!(await showDrift(check, options, interrupted()))) process.exitCode = 1
  })
drift
  .command('bisect')
  .description('compare the checksums of all rows, and name the keys that differ')
  .argument('<check>', 'a drift collector, or a table of it: target, target/table or target/table/tenant')
  .option(...CONFIG)
  .option('--max-rows <count>', 'rows to read on one side', wholeNumber, 100_000_000)
  .option('--max-keys <count>', 'keys of a table to name', wholeNumber, 10_000)
  .option('--json', 'JSON instead of tables')
  .action(async (check: string, options: BisectOptions) => {
    const { bisectDrift } = await import('./commands/drift.ts')
    if (!(await bisectDrift(check, options, interrupted()))) process.exitCode = 1
  })

const failures = program.command('failures').description('failures of connectors, as kept in state_dir')
failures
  .command('list')
  .description('the newest first')
  .option(...CONFIG)
  .addOption(new Option('--state <state>').choices(['open', 'resolved', 'all']).default('open'))
  .option('--target <name>', 'only of this collector')
  .option('--environment <name>')
  .option('--platform <name>')
  .option('--connector <name>')
  .option('--team <name>')
  .option('--exception-class <name>', 'only with this class in the first line of the trace')
  .option('--limit <count>', 'at most so many', wholeNumber, 50)
  .option('--offset <count>', 'leave out so many', wholeNumber, 0)
  .option('--json', 'JSON instead of a table')
  .action(async (options: ListOptions) => (await import('./commands/failures.ts')).listFailures(options))
failures
  .command('show')
  .description('one with its trace, first steps and history')
  .argument('<id>', 'as in the list', wholeNumber)
  .option(...CONFIG)
  .option('--json', 'JSON instead of text')
  .action(async (id: number, options: CommonOptions) =>
    (await import('./commands/failures.ts')).showFailure(id, options),
  )
for (const operation of ['resolve', 'unresolve'] as const) {
  failures
    .command(operation)
    .description(
      operation === 'resolve'
        ? 'mark as resolved; one that persists is not opened again'
        : 'open again what was resolved by hand and persists',
    )
    .argument('<id...>', 'as in the list', wholeNumbers)
    .option(...CONFIG)
    .option('--json', 'JSON instead of text')
    .action(async (ids: readonly number[], options: CommonOptions) =>
      (await import('./commands/failures.ts')).markFailures(operation, ids, options),
    )
}

program
  .command('alerts')
  .description('the way of alerts to people')
  .command('test')
  .description('send a harmless sample through Alertmanager, and see which receivers it was sent on by')
  .argument('[name]', 'an alert of the rules; one of no rule where absent')
  .option('--alertmanager <url>', 'where it listens', 'http://localhost:9093')
  .option('--rules <folder>', 'the rules that have the alert; those that are shipped where absent')
  .option('--label <name=value>', 'further labels of it, which routes turn on; again for each', labels, {})
  .option('--within <duration>', 'how long it is waited for its receivers', milliseconds, 60_000)
  .option('--json', 'JSON instead of a table')
  .action(async (name: string | undefined, options: AlertsTestOptions) => {
    const { testAlerts } = await import('./commands/alerts.ts')
    if (!(await testAlerts(name, options, interrupted()))) process.exitCode = 1
  })

function labels(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const [, name, value] = /^([a-zA-Z_]\w*)=(.*)$/s.exec(text) ?? []
  if (name === undefined || value === undefined) throw new InvalidArgumentError('expected name=value')
  return { ...before, [name]: value }
}

program
  .command('token')
  .description('make an API token: its text, this once, and its entry for the file api.tokens_file')
  .requiredOption('--name <name>', 'who has it')
  .addOption(new Option('--role <role>').choices(ROLES).default('viewer'))
  .option('--team <name...>', 'teams of a team-lead', [])
  .action(async ({ name, role, team }: { name: string; role: Role; team: readonly string[] }) => {
    if ((role === 'team-lead') !== team.length > 0) {
      program.error('error: a team-lead has teams (--team), and nobody else has')
    }
    const { printToken } = await import('./commands/token.ts')
    printToken({ name, role, team })
  })

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}

function wholeNumbers(text: string, before: readonly number[] = []): readonly number[] {
  return [...before, wholeNumber(text)]
}

const connect = program.command('connect').description('connectors of the Connect clusters')

function selecting(command: Command): Command {
  return command
    .option(...CONFIG)
    .option('--environment <name>', 'only of this environment')
    .option('--cluster <target>', 'only of this connect collector')
    .option('--team <name>', 'only of this team, by the rules of the configuration')
    .option('--connector <regex>', 'only names that match', regex)
    .option('--json', 'JSON instead of a table')
}

const STATE = ['--state <state>', 'only in this state, or with a task that is'] as const

function changing(command: Command): Command {
  return selecting(command.argument('[name...]'))
    .option('--all', 'all connectors of all clusters that are switched on')
    .option('--dry-run', 'only say which they are')
    .option('--yes', 'do not ask')
}

selecting(connect.command('list').description('connectors with their states').argument('[name...]'))
  .option(...STATE)
  .action(async (names: readonly string[], options: SelectOptions) =>
    (await import('./commands/connect.ts')).listCommand(names, options, interrupted()),
  )
selecting(
  connect
    .command('show')
    .description('one connector with its configuration, secrets masked')
    .argument('<name>'),
).action(async (name: string, options: SelectOptions) =>
  (await import('./commands/connect.ts')).showCommand(name, options, interrupted()),
)

const OPERATIONS = {
  restart: 'restart what has failed, the connector or tasks of it',
  pause: 'let it stand still, with its tasks',
  resume: 'let it go on, paused or stopped',
  stop: 'end its tasks; its configuration and offsets stay',
  delete: 'delete it from its cluster; its offsets stay there',
} as const
for (const operation of ['restart', 'pause', 'resume', 'stop', 'delete'] as const) {
  const command = changing(connect.command(operation).description(OPERATIONS[operation]))
    .option(...STATE)
    .option('--within <duration>', 'how long each is watched for its outcome', milliseconds, 60_000)
    .option(
      '--settle <duration>',
      'how long it has to run without a failure to count as running',
      milliseconds,
      15_000,
    )
  if (operation === 'restart') command.option('--all-tasks', 'tasks too that have not failed')
  command.action(async (names: readonly string[], options: OperateCommandOptions) => {
    const { operateCommand } = await import('./commands/connect.ts')
    if (!(await operateCommand(operation, names, options, interrupted()))) process.exitCode = 1
  })
}

changing(
  connect.command('forget').description('drop what the failure log keeps of it; no cluster is asked'),
).action(async (names: readonly string[], options: ChangeOptions) => {
  const { forgetCommand } = await import('./commands/connect.ts')
  if (!(await forgetCommand(names, options, interrupted()))) process.exitCode = 1
})

function regex(text: string): RegExp {
  try {
    return new RegExp(text, 'u')
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error))
  }
}

function milliseconds(text: string): number {
  const duration = parseDuration(text)
  if (!duration) throw new InvalidArgumentError('expected a duration such as 2s or 500ms')
  return duration
}

/** Aborts at Ctrl-C. */
function interrupted(): AbortSignal {
  const controller = new AbortController()
  process.once('SIGINT', () => controller.abort(new Error('interrupted')))
  return controller.signal
}

/** Once all is written: a pipe takes 64 KiB at a time, and what it has not taken would be lost. */
async function exit(code: number | string): Promise<never> {
  const written = [process.stdout, process.stderr].map(
    (stream) => new Promise((resolve) => stream.write('', resolve)),
  )
  await Promise.all(written)
  process.exit(code)
}

// The reader has seen enough: `cdc-exporter lag | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

try {
  await program.parseAsync()
  await exit(process.exitCode ?? 0)
} catch (error) {
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`)
    await exit(2)
  }
  process.stderr.write(`cdc-exporter: ${errorLine(error)}\n`)
  await exit(error instanceof UsageError ? 2 : 1)
}
