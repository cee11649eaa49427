import { setTimeout as delay } from 'node:timers/promises'
import { rateMeter } from './rates.ts'
import { scrape } from './scrape.ts'
import type { Addresses } from './start.ts'
import { frame } from './table.ts'

const CLEAR = '\x1b[H\x1b[J'

/** Shows the pipeline until the abort: in place on a terminal, else as one more table now and then. */
export async function watch(addresses: Addresses, signal: AbortSignal): Promise<void> {
  const { stdout } = process
  const rates = rateMeter()
  while (!signal.aborted) {
    let lines: string[]
    try {
      const answer = await scrape(addresses.daemon)
      lines = frame(addresses, answer, rates(answer))
    } catch (error) {
      lines = [`the daemon does not answer: ${error instanceof Error ? error.message : error}`]
    }
    if (signal.aborted) return
    if (stdout.isTTY) stdout.write(CLEAR + firstLines([...lines, '', hint], stdout.rows).join('\n'))
    else stdout.write(`${lines.join('\n')}\n\n`)
    await delay(stdout.isTTY ? 1_000 : 10_000, undefined, { signal }).catch(() => {})
  }
}

const hint = 'Ctrl-C ends it. In another terminal: npm run demo -- --break <connector|etl|redis|drift>'

/** A frame higher than the terminal would scroll, and no longer be in place. */
function firstLines(lines: readonly string[], rows: number): readonly string[] {
  if (lines.length <= rows) return lines
  return [...lines.slice(0, rows - 1), `… ${lines.length - rows + 1} more lines in a higher terminal`]
}
