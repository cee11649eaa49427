import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml'
import { isSecretName, redact } from '../log.ts'
import { interpolate } from './interpolate.ts'

/** One thing wrong in a configuration file. Lines and columns count from 1. */
export interface Fault {
  readonly line: number
  readonly column: number
  /** `collectors[2].interval`; empty where the fault is the file's. */
  readonly path: string
  readonly message: string
}

export type Path = readonly PropertyKey[]

/** Messages of the parser that quote the file, and with it perhaps a secret, are not passed on. */
const SYNTAX: Readonly<Record<string, string>> = {
  IMPOSSIBLE: 'no valid YAML',
  MULTIPLE_DOCS: 'expected one YAML document, got several',
  TAG_RESOLVE_FAILED: 'unknown YAML tag',
  UNEXPECTED_TOKEN: 'no valid YAML',
}

/** A YAML file with its variables filled in, which knows where each of its keys stands. */
export class Source {
  /** Plain values, or undefined where the file could not be understood as one map. */
  readonly value: Readonly<Record<string, unknown>> | undefined
  readonly faults: Fault[] = []
  readonly #lines = new LineCounter()
  readonly #document: Document
  readonly #withFault = new Set<unknown>()
  readonly #secrets = new Set<string>()

  constructor(text: string, env: Readonly<Record<string, string | undefined>>) {
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, merge: true })
    this.#document = document
    for (const problem of [...document.errors, ...document.warnings]) {
      const { line, col } = this.#lines.linePos(problem.pos[0])
      const message = SYNTAX[problem.code] ?? problem.message.replace(/^[A-Z]/, (c) => c.toLowerCase())
      this.faults.push({ line, column: col, path: '', message })
    }
    // With a key given twice the rest can still be judged; with broken syntax it cannot.
    if ([...document.errors, ...document.warnings].some(({ code }) => code !== 'DUPLICATE_KEY')) return
    if (!isMap(document.contents)) {
      this.fault([], 'expected a map of settings')
      return
    }
    const lookup = (name: string) => {
      const value = env[name]
      if (value && isSecretName(name)) this.#secrets.add(value)
      return value
    }
    let dangling = false
    visit(document, {
      Alias: (_, node, ancestors) => {
        if (node.resolve(document) !== undefined) return
        dangling = true
        this.fault(pathOf(node, ancestors), 'an alias (*) needs an anchor (&) of the same name before it')
      },
      Scalar: (position, node, ancestors) => {
        if (position === 'key' || typeof node.value !== 'string') return
        const { text: filled, faults } = interpolate(node.value, lookup)
        node.value = filled
        const path = pathOf(node, ancestors)
        if (filled !== '' && path.some((key) => isSecretName(String(key)))) this.#secrets.add(filled)
        for (const message of faults) this.fault(path, message)
        if (faults.length > 0) this.#withFault.add(node)
      },
    })
    if (dangling) return
    try {
      this.value = document.toJS()
    } catch (error) {
      this.fault([], error instanceof Error ? error.message : String(error))
    }
  }

  /** Whether the file has this key. */
  has(path: Path): boolean {
    return this.#locate(path).found
  }

  line(path: Path): number {
    return this.#lines.linePos(this.#locate(path).value).line
  }

  /**
   * Notes a fault at the value of a key, or at the key itself; where there is no such key, at what it is
   * missing from. A value whose variables are faulty already gets no further fault.
   */
  fault(path: Path, message: string, at: 'key' | 'value' = 'value'): void {
    const place = this.#locate(path)
    if (this.#withFault.has(place.node)) return
    const { line, col } = this.#lines.linePos(place[at])
    const fault = { line, column: col, path: pathText(path), message: redact(message, this.#secrets) }
    if (!this.faults.some((other) => pathAndMessage(other) === pathAndMessage(fault))) this.faults.push(fault)
  }

  #locate(path: Path): { node: unknown; key: number; value: number; found: boolean } {
    let node: unknown = this.#document.contents
    let key = offsetOf(node, 0)
    let value = key
    for (const segment of path) {
      const pair = child(this.#resolve(node), segment, (alias) => this.#resolve(alias))
      if (pair === undefined) return { node: undefined, key: value, value, found: false }
      key = offsetOf(pair.key, value)
      value = offsetOf(pair.value, key)
      node = pair.value
    }
    return { node: this.#resolve(node), key, value, found: true }
  }

  #resolve(node: unknown): unknown {
    return isAlias(node) ? node.resolve(this.#document) : node
  }
}

function pathAndMessage(fault: Fault): string {
  return `${fault.path}: ${fault.message}`
}

/** `['collectors', 2, 'interval']` → `collectors[2].interval` */
export function pathText(path: Path): string {
  return path
    .map((segment) => (typeof segment === 'number' ? `[${segment}]` : `.${String(segment)}`))
    .join('')
    .replace(/^\./, '')
}

function pathOf(node: Node, ancestors: readonly unknown[]): PropertyKey[] {
  const path: PropertyKey[] = []
  const chain = [...ancestors, node]
  for (const [index, ancestor] of chain.entries()) {
    if (isPair(ancestor)) path.push(keyText(ancestor.key))
    else if (isSeq(ancestor)) path.push(ancestor.items.indexOf(chain[index + 1]))
  }
  return path
}

function keyText(key: unknown): string {
  return String(isScalar(key) ? key.value : key)
}

function offsetOf(node: unknown, otherwise: number): number {
  return (isScalar(node) || isMap(node) || isSeq(node) || isAlias(node)) && node.range
    ? node.range[0]
    : otherwise
}

/** The pair of a map, its own before a merged one, or the item of a list. */
function child(
  node: unknown,
  segment: PropertyKey,
  resolve: (node: unknown) => unknown,
): { key: unknown; value: unknown } | undefined {
  if (isSeq(node)) {
    const item = node.items[Number(segment)]
    return item === undefined ? undefined : { key: item, value: item }
  }
  if (!isMap(node)) return undefined
  const own = node.items.find((pair) => keyText(pair.key) === String(segment))
  if (own !== undefined) return own
  for (const merge of node.items.filter(({ key }) => isScalar(key) && key.source === '<<')) {
    const merged = resolve(merge.value)
    for (const from of isSeq(merged) ? merged.items : [merged]) {
      const pair = child(resolve(from), segment, resolve)
      if (pair !== undefined) return pair
    }
  }
  return undefined
}
