import { createServer } from 'node:http'

// The health of an API in the shape of Nest Terminus, on the port that is given. DELETE takes a component away.

const components = new Map([
  ['stays', { status: 'up' }],
  ['goes', { status: 'up' }],
])

createServer(({ method, url = '' }, answer) => {
  if (method === 'DELETE') components.delete(url.slice(1))
  const details = Object.fromEntries(components)
  answer.setHeader('content-type', 'application/json')
  answer.end(JSON.stringify({ status: 'ok', info: details, error: {}, details }))
}).listen(Number(process.argv[2]), '127.0.0.1')
