import { readFileSync } from 'node:fs'
import { errorLine, startApp } from '../app.ts'
import { collectorKinds } from '../collectors/index.ts'
import { type Config, ConfigError, loadConfig } from '../config/load.ts'
import { createLogger, standardOutput } from '../log.ts'
import { LogFile } from '../log-file.ts'

/** The package's version. */
export const version: string = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
).version

/** Runs until SIGTERM or SIGINT; SIGHUP loads the configuration anew. Throws a ConfigError for a bad one. */
export async function run(file: string): Promise<void> {
  const load = () => loadConfig(file, { kinds: collectorKinds, env: process.env })
  let config = await load()
  const secrets = () => config.secrets.flatMap((secret) => secret.known ?? [])
  const { level, levelNames, file: logFile } = config.log
  const output = standardOutput()
  const lines = logFile && new LogFile(logFile, (error) => logFileFailed(error))
  const log = createLogger({
    level,
    levelNames,
    secrets,
    destination: {
      write(line) {
        output.write(line)
        lines?.write(line)
      },
    },
  })
  const logFileFailed = (error: unknown) =>
    log.error({ error, file: logFile?.path }, 'the log file cannot be written')
  const reload = async (): Promise<readonly string[]> => {
    let next: Config
    try {
      next = await load()
    } catch (error) {
      const faults = error instanceof ConfigError ? error.message.split('\n') : [errorLine(error)]
      log.error({ config: file, faults }, 'configuration refused')
      await app.configRefused()
      return faults
    }
    config = next
    await app.apply(next)
    log.info({ config: file, collectors: next.collectors.length }, 'configuration loaded')
    return []
  }
  // One after the other: each is compared with what the one before left.
  let reloading: Promise<unknown> = Promise.resolve()
  const reloadInTurn = () => {
    const done = reloading.then(reload)
    reloading = done.catch((error: unknown) => log.critical({ error }, 'configuration could not be applied'))
    return done
  }
  const app = await startApp(config, { log, version, reload: reloadInTurn })
  process.on('SIGHUP', () => void reloadInTurn().catch(() => {}))
  const stopSignal = new Promise<string>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  log.info(
    { version, config: file, port: app.port, collectors: config.collectors.length },
    'cdc-exporter is running',
  )
  const signal = await stopSignal
  log.info({ signal }, 'cdc-exporter is stopping')
  await app.stop()
  await lines?.close()
}
