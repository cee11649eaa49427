import { type Agent, get } from 'node:http'

/** A GET that reads the whole body, compressed as it comes, and how long that took. */
export function timedGet(
  url: string,
  agent: Agent,
): Promise<{ readonly milliseconds: number; readonly body: readonly Buffer[]; readonly gzip: boolean }> {
  return new Promise((resolve, reject) => {
    const from = performance.now()
    get(url, { agent, headers: { 'accept-encoding': 'gzip' } }, (response) => {
      const body: Buffer[] = []
      response.on('data', (chunk: Buffer) => body.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const milliseconds = performance.now() - from
        if (response.statusCode !== 200) reject(new Error(`${url} answered ${response.statusCode}`))
        else resolve({ milliseconds, body, gzip: response.headers['content-encoding'] === 'gzip' })
      })
    }).on('error', reject)
  })
}
