// A server that does nothing but send the bytes of a file, compressed already: the measure of a scrape.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const [port = '0', file = ''] = process.argv.slice(2)
const body = readFileSync(file)

createServer((_, response) => {
  response.writeHead(200, {
    'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
    'Content-Encoding': 'gzip',
    'Content-Length': body.length,
  })
  response.end(body)
}).listen(Number(port), '127.0.0.1')
