import { Worker } from 'node:worker_threads'
import type { Sample } from '../testbed/exposition-text.ts'

/** What one request of a prober got. */
export interface Answer {
  readonly path: string
  /** Wall milliseconds, when it was asked. */
  readonly at: number
  milliseconds: number
  /** Why the answer was not the one it should be: status, or not whole. */
  fault: string | undefined
  /** `…_up` and `cdc_collector_*` of a scrape. */
  samples: readonly Sample[]
}

export interface Prober {
  /** All answers since it began, in the order in which they came. */
  readonly answers: readonly Answer[]
  stop(): Promise<void>
}

/** Asks `/metrics` and `/health/live` every 50 ms from a thread of its own, so that the test does not hold it up. */
export function startProber(url: string): Prober {
  const answers: Answer[] = []
  const worker = new Worker(new URL('probing.ts', import.meta.url), { workerData: url, execArgv: [] })
  worker.on('message', (answer: Answer) => answers.push(answer))
  worker.on('error', (error) => {
    answers.push({
      path: '',
      at: Date.now(),
      milliseconds: 0,
      fault: `the prober ended: ${error}`,
      samples: [],
    })
  })
  return {
    answers,
    async stop() {
      await worker.terminate()
    },
  }
}

/** The longest wait on each path. */
export function worstOf(answers: readonly Answer[]): Readonly<Record<string, number>> {
  const worst: Record<string, number> = {}
  for (const { path, milliseconds } of answers) worst[path] = Math.max(worst[path] ?? 0, milliseconds)
  return worst
}
