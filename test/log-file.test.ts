import {
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import type { LogFileSettings } from '../src/config/load.ts'
import { LogFile } from '../src/log-file.ts'
import { ManualClock } from './collection/manual-clock.ts'
import { startDaemon } from './commands/daemon.ts'
import { temporaryFolder } from './testbed/part.ts'
import { waitFor } from './testbed/process.ts'

const folder = temporaryFolder('log-file')
afterAll(() => folder.remove())

const DAY = 86_400_000
let made = 0

/** Settings of a file in a folder of its own. */
function settings(more: Partial<LogFileSettings> = {}): LogFileSettings & { readonly folder: string } {
  const own = join(folder.path, String(++made))
  mkdirSync(own)
  const path = join(own, 'cdc.log')
  return {
    folder: own,
    path,
    maxSize: 1e9,
    every: '1d',
    maxFiles: 1000,
    maxAge: 30 * DAY,
    compress: true,
    ...more,
  }
}

const failed = (error: unknown) => {
  throw error
}

/** The files that are done, the oldest first. */
const done = (of: string) =>
  readdirSync(of)
    .filter((name) => name !== 'cdc.log')
    .toSorted()

function textOf(file: string): string {
  const bytes = readFileSync(file)
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
}

/** The numbers of all lines of the folder, in the order of the files. */
function numbersIn(of: string): number[] {
  return [...done(of), 'cdc.log'].flatMap((name) =>
    textOf(join(of, name))
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { n: number }).n),
  )
}

const line = (n: number) => `${JSON.stringify({ n, text: 'x'.repeat(80) })}\n`

describe.each([{ compress: true }, { compress: false }])('compress: $compress', ({ compress }) => {
  test('under load every line is in one of the files, once and in order', async () => {
    const given = settings({ compress, maxSize: 64 * 1024 })
    const file = new LogFile(given, failed)
    const count = 20_000
    for (let n = 0; n < count; n++) {
      file.write(line(n))
      // Others have their turn, so that writing and rotating overlap.
      if (n % 500 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await file.close()
    expect(numbersIn(given.folder)).toEqual([...Array(count).keys()])
    expect(done(given.folder).length).toBeGreaterThan(20)
    for (const name of done(given.folder)) expect(name.endsWith(compress ? '.log.gz' : '.log')).toBe(true)
  })
})

test('no more than the number of files that was asked for are kept, and those are the newest', async () => {
  const given = settings({ maxSize: 4096, maxFiles: 3 })
  const file = new LogFile(given, failed)
  for (let n = 0; n < 2000; n++) file.write(line(n))
  await file.close()
  const numbers = numbersIn(given.folder)
  expect(done(given.folder)).toHaveLength(3)
  expect(numbers.at(-1)).toBe(1999)
  expect(numbers).toEqual(numbers.map((_, index) => 2000 - numbers.length + index))
})

test('files older than asked for are deleted; those of others are left alone', async () => {
  const given = settings({ maxAge: 2 * DAY })
  const old = ['cdc-20260101T000000.000Z-1.log.gz', 'cdc-20260101T000001.000Z-1.log']
  const others = ['cdc-backup.log', 'cdc.log.txt', 'other-20260101T000000.000Z-1.log.gz']
  for (const name of [...old, ...others, 'cdc-20260102T000000.000Z-1.log']) {
    writeFileSync(join(given.folder, name), '')
  }
  const before = new Date(Date.now() - 3 * DAY)
  for (const name of [...old, ...others]) utimesSync(join(given.folder, name), before, before)
  await new LogFile(given, failed).close()
  expect(readdirSync(given.folder).toSorted()).toEqual(
    [...others, 'cdc-20260102T000000.000Z-1.log', 'cdc.log'].toSorted(),
  )
})

test('a new file is begun with each period, and for one of an earlier day that is found', async () => {
  const found = settings()
  writeFileSync(found.path, line(0))
  const yesterday = new Date(Date.now() - DAY)
  utimesSync(found.path, yesterday, yesterday)
  const begun = new LogFile(found, failed)
  begun.write(line(1))
  await begun.close()
  expect(done(found.folder)).toHaveLength(1)
  expect(numbersIn(found.folder)).toEqual([0, 1])

  const given = settings({ every: '1s' })
  const file = new LogFile(given, failed)
  let n = 0
  await waitFor('three periods', () => {
    file.write(line(n++))
    return done(given.folder).filter((name) => name.endsWith('.gz')).length >= 3
  })
  await file.close()
  expect(numbersIn(given.folder)).toEqual([...Array(n).keys()])
})

test('what was there is written on', async () => {
  const given = settings()
  for (const n of [0, 1]) {
    const file = new LogFile(given, failed)
    file.write(line(n))
    await file.close()
  }
  expect(numbersIn(given.folder)).toEqual([0, 1])
})

test('a file that cannot be opened is refused', () => {
  const { folder: path } = settings()
  expect(() => new LogFile({ ...settings(), path }, failed)).toThrow('log.file.path cannot be written')
})

test('one that cannot be written is told of once, and opened anew half a minute later', async () => {
  const given = settings()
  symlinkSync('/dev/full', given.path)
  const errors: unknown[] = []
  const clock = new ManualClock(Date.now())
  const file = new LogFile(given, (error) => errors.push(error), clock)
  await waitFor('the error', () => errors.length > 0)
  for (let n = 0; n < 10; n++) file.write(line(n))
  expect(errors).toHaveLength(1)
  unlinkSync(given.path)
  await clock.advance(30_000, async () => {})
  file.write(line(10))
  await file.close()
  expect(errors).toHaveLength(1)
  expect(numbersIn(given.folder)).toEqual([10])
})

test('the daemon writes the same lines to both, to the last', async () => {
  const path = join(folder.path, 'daemon', 'cdc.log')
  const daemon = await startDaemon([{ kind: 'redis', target: 'down', url: 'redis://127.0.0.1:1' }], {
    log: { file: { path }, level_names: 'pino' },
  })
  await waitFor('a failed run', () => daemon.log().some(({ level }) => level === 'warn'))
  await daemon.stop()
  const { stdout } = await daemon.ended
  expect(readFileSync(path, 'utf8')).toBe(stdout)
  expect(daemon.log().at(-1)).toMatchObject({ level: 'info', message: 'cdc-exporter is stopping' })
})
