// The thread of a prober: asks the daemon one thing after another and tells what it got.
import { setTimeout as delay } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { readExposition, type Sample } from '../testbed/exposition-text.ts'
import type { Answer } from './prober.ts'

const PAUSE_MS = 50

await Promise.all([
  probe('/metrics', async (response) => {
    const body = await response.text()
    const { samples } = readExposition(body)
    // The last family of the body.
    if (!samples.some(({ name }) => name === 'cdc_exporter_build_info')) throw new Error('a part is missing')
    return samples.filter(isOfEngine)
  }),
  probe('/health/live', async (response) => {
    const { status } = (await response.json()) as { status: string }
    if (status !== 'alive') throw new Error(`status ${status}`)
    return []
  }),
])

/** `read` gives the samples to tell of; it throws where the answer is not whole. */
async function probe(path: string, read: (response: Response) => Promise<readonly Sample[]>): Promise<never> {
  // Plain and compressed in turn.
  for (let n = 0; ; n++) {
    const encoding = n % 2 === 0 ? 'gzip' : 'identity'
    const at = Date.now()
    const from = performance.now()
    const answer: Answer = { path, at, milliseconds: 0, fault: undefined, samples: [] }
    try {
      const response = await fetch(`${workerData}${path}`, { headers: { 'accept-encoding': encoding } })
      const bytes = await response.bytes()
      answer.milliseconds = performance.now() - from
      if (response.status !== 200) throw new Error(`status ${response.status}`)
      answer.samples = await read(new Response(bytes))
    } catch (error) {
      answer.fault = String(error)
    }
    parentPort?.postMessage(answer)
    await delay(PAUSE_MS)
  }
}

/** What the engine says of the collectors: up, success, runs. */
function isOfEngine({ name }: Sample): boolean {
  return name.endsWith('_up') || name.startsWith('cdc_collector_')
}
