import { readFileSync } from 'node:fs'

const file = new URL('../../prometheus/kept-names.txt', import.meta.url)

/** Names kept from other exporters that break today's naming rules, from `prometheus/kept-names.txt`. */
export function keptNames(): ReadonlySet<string> {
  const lines = readFileSync(file, 'utf8').split('\n')
  return new Set(lines.map((line) => line.replace(/#.*/, '').trim()).filter((name) => name !== ''))
}
