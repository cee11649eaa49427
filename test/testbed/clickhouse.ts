import { execFile } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installFolder, testbedFolder } from './installed-folder.ts'

const run = promisify(execFile)

/** Holds `node_modules/chdb`: the ClickHouse engine in process. */
export const clickHouseFolder = join(testbedFolder, 'clickhouse')

/**
 * Downloads the ClickHouse engine into `.testbed/clickhouse`, once; says so on standard error. It has no
 * lock file, because no release of it lists a complete set of platform packages.
 */
export async function installClickHouse(): Promise<void> {
  const manifest = fileURLToPath(new URL('clickhouse/package.json', import.meta.url))
  await installFolder('clickhouse', [manifest], async (folder) => {
    process.stderr.write('testbed: downloading the ClickHouse engine chdb from npm (about 550 MB unpacked)\n')
    copyFileSync(manifest, join(folder, 'package.json'))
    await run('npm', ['install', '--no-package-lock', '--no-audit', '--no-fund'], { cwd: folder })
  })
}
