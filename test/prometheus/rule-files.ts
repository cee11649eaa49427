import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

/** A recording rule or an alert, as in its file. */
export interface Rule {
  readonly record?: string
  readonly alert?: string
  readonly expr: string
  readonly for?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

interface RuleGroup {
  readonly name: string
  readonly interval?: string
  readonly rules: readonly Rule[]
}

/** One case of a test file of `promtool test rules`. */
interface RuleTest {
  readonly name: string
  readonly input_series?: readonly { readonly series: string; readonly values: string }[]
  readonly alert_rule_test?: readonly {
    readonly alertname: string
    readonly eval_time: string
    readonly exp_alerts?: readonly { readonly exp_labels?: Readonly<Record<string, string>> }[]
  }[]
}

/** Path of a folder of `prometheus/`, with the slash at its end. */
export const folder = (name: 'rules' | 'tests' | 'targets' | ''): string =>
  fileURLToPath(new URL(`../../prometheus/${name === '' ? '' : `${name}/`}`, import.meta.url))

const read = (path: string): unknown => parse(readFileSync(path, 'utf8'))

/** Names of the files of rules. */
export const ruleFiles: readonly string[] = readdirSync(folder('rules')).filter((file) =>
  file.endsWith('.yml'),
)

/** In the order of the file. */
export const groupsOf = (file: string): readonly RuleGroup[] =>
  (read(`${folder('rules')}${file}`) as { groups: RuleGroup[] }).groups

/** Cases of the tests of a file of rules. */
export const testsOf = (file: string): readonly RuleTest[] =>
  (read(`${folder('tests')}${file}`) as { tests: RuleTest[] }).tests

/** Of all files. */
export const allRules: readonly Rule[] = ruleFiles.flatMap((file) =>
  groupsOf(file).flatMap(({ rules }) => rules),
)
