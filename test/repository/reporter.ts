import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, SerializedError, TestCase, TestModule, Vitest } from 'vitest/node'

const list = new URL('skipped.txt', import.meta.url)

/**
 * Fails a run in which a test was skipped that `skipped.txt` does not allow, and ends the output with
 * `N passed, N failed`. A file or a suite that failed by itself counts as one.
 */
export default class Verdict implements Reporter {
  #vitest: Vitest | undefined

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const suites = modules.flatMap((module) => [module, ...module.children.allSuites()])
    const states = tests.map((test) => test.result().state)
    const passed = states.filter((state) => state === 'passed').length
    const broken = suites.filter((suite) => suite.errors().length > 0).length
    const failed = states.filter((state) => state === 'failed').length + broken + unhandled.length

    // Whoever asks for some tests by name leaves the others out.
    const all = this.#vitest?.config.testNamePattern === undefined
    const skipped = tests.filter((test) => test.result().state === 'skipped').map(nameOf)
    const faults = all ? faultsOf(skipped, tests.map(nameOf)) : []
    for (const fault of faults) process.stdout.write(`${fault}\n`)
    if (faults.length > 0 || tests.length === 0) process.exitCode = 1
    process.stdout.write(`${passed} passed, ${failed + faults.length} failed\n`)
  }
}

/** `test/redis.test.ts > a suite > a test`. */
const nameOf = (test: TestCase): string =>
  `${relative(process.cwd(), test.module.moduleId)} > ${test.fullName}`

function faultsOf(skipped: readonly string[], all: readonly string[]): string[] {
  const allowed = readFileSync(list, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const [name = '', reason = ''] = line.split(' -- ').map((text) => text.trim())
      return { name, reason }
    })
  return [
    ...skipped
      .filter((name) => !allowed.some((entry) => entry.name === name && entry.reason !== ''))
      .map((name) => `skipped without a reason in skipped.txt: ${name}`),
    ...allowed
      .filter(({ name }) => all.includes(name) && !skipped.includes(name))
      .map(({ name }) => `in skipped.txt, but not skipped: ${name}`),
  ]
}
