import { systemClock } from '../clock.ts'

const EVERY_MS = 1_000

/** Puts the cursor of a terminal to where its line is empty. */
const ERASE = '\r\x1b[K'

/** Settles as `work` does; after a second a terminal shows on standard error what is waited for. */
export async function withProgress<T>(text: () => string, work: () => Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return await work()
  const end = new AbortController()
  const telling = tell(text, end.signal)
  try {
    return await work()
  } finally {
    end.abort()
    await telling
  }
}

async function tell(text: () => string, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      await systemClock.sleep(EVERY_MS, signal)
      process.stderr.write(`${ERASE}${text()} …`)
    }
  } catch {
    process.stderr.write(ERASE)
  }
}

/** A line on standard error, in place of the progress that is there. */
export function say(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? ERASE : ''}${text}\n`)
}
