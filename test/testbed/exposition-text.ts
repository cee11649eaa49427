/** One sample of the text format, its values unescaped. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const METRIC_NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"'
const SAMPLE = new RegExp(`^(${METRIC_NAME})(?:\\{((?:${LABEL}(?:,${LABEL})*)?)\\})? +(\\S+) *$`)
const COMMENT = new RegExp(
  `^# (?:HELP ${METRIC_NAME} .*|TYPE (${METRIC_NAME}) (counter|gauge|histogram|summary|untyped))$`,
)

/**
 * Reads a whole body of the text format 0.0.4. Stricter than any reader has to be, so that a body that was cut
 * off or mixed up never passes: throws at a line that is none, at a family told of twice, at a series written
 * twice, and where the last line does not end.
 */
export function readExposition(text: string): {
  readonly samples: readonly Sample[]
  /** By family. */
  readonly types: ReadonlyMap<string, string>
} {
  if (!text.endsWith('\n')) throw new Error(`the body does not end with its last line: …${text.slice(-80)}`)
  const samples: Sample[] = []
  const types = new Map<string, string>()
  const series = new Set<string>()
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue
    if (line.startsWith('#')) {
      const comment = COMMENT.exec(line)
      if (!comment) throw new Error(`no HELP or TYPE: ${line}`)
      const [, family, type] = comment
      if (family === undefined || type === undefined) continue
      if (types.has(family)) throw new Error(`two families ${family}`)
      types.set(family, type)
      continue
    }
    const match = SAMPLE.exec(line)
    const [, name = '', labels = '', number = ''] = match ?? []
    const value = numberOf(number)
    if (!match || value === undefined) throw new Error(`no sample: ${line}`)
    const id = `${name}{${labels}}`
    if (series.has(id)) throw new Error(`two samples of ${id}`)
    series.add(id)
    samples.push({ name, labels: labelsOf(labels), value })
  }
  return { samples, types }
}

function labelsOf(text: string): Record<string, string> {
  const pairs = text.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, unescaped(value)]))
}

function unescaped(value: string): string {
  return value.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))
}

function numberOf(text: string): number | undefined {
  if (text === 'NaN') return Number.NaN
  const value = Number(text.replace(/^([+-]?)Inf$/, '$1Infinity'))
  return text === '' || Number.isNaN(value) ? undefined : value
}
