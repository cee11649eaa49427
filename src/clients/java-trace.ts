/** What a stack trace of Java says in a few words. */
export interface TraceFacts {
  /** The class in its first line; `unknown` where there is none. */
  readonly exceptionClass: string
  /** Class and message of its last `Caused by:`, or of its first line where it has none. */
  readonly rootCause: string
  readonly rootClass: string
}

const UNKNOWN = 'unknown'
const CAUSED_BY = 'Caused by: '

/** A class of Java has a package before it, or a name that says what it is. */
const CLASS =
  /^(?:[\p{L}_$][\p{L}\p{N}_$]*(?:\.[\p{L}_$][\p{L}\p{N}_$]*)+|[\p{L}_$][\p{L}\p{N}_$]*(?:Exception|Error))(?=:|$)/u

/**
 * Reads the text that `Throwable.printStackTrace` writes. Causes of suppressed exceptions, which are
 * indented, are none of the chain. Any text gives an answer.
 */
export function readTrace(trace: string): TraceFacts {
  const lines = trace.trim().split(/\r?\n/)
  const last = lines.findLastIndex((line) => line.startsWith(CAUSED_BY))
  const rootCause = throwableAt(lines, Math.max(0, last)).slice(last < 0 ? 0 : CAUSED_BY.length)
  return {
    exceptionClass: classOf(lines[0] ?? ''),
    rootCause,
    rootClass: classOf(rootCause),
  }
}

/** Class and message: a message may have several lines, some of them indented, and ends where the frames begin. */
function throwableAt(lines: readonly string[], from: number): string {
  const rest = lines.slice(from + 1)
  const end = rest.findIndex(
    (line) => /^\t+(at |\.\.\. \d+ |Suppressed: )/.test(line) || line.startsWith(CAUSED_BY),
  )
  return [lines[from] ?? '', ...rest.slice(0, end < 0 ? rest.length : end)].join('\n').trim()
}

function classOf(line: string): string {
  return CLASS.exec(line.split('\n', 1)[0] ?? '')?.[0] ?? UNKNOWN
}
