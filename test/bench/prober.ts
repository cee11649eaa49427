// Asks each of the addresses that it is given every few milliseconds, until it is told to end; then prints the waits.
import { Agent } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { timedGet } from './timed-get.ts'

const PAUSE_MS = 3

let ended = false
process.once('SIGTERM', () => {
  ended = true
})

const waits = await Promise.all(
  process.argv.slice(2).map(async (url) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const milliseconds: number[] = []
    while (!ended) {
      milliseconds.push((await timedGet(url, agent)).milliseconds)
      await delay(PAUSE_MS)
    }
    agent.destroy()
    return milliseconds
  }),
)
// The first opens the connection.
process.stdout.write(JSON.stringify(waits.map((list) => list.slice(1))))
