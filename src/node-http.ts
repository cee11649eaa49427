/**
 * What is used of `node:http`. An import of it, unlike this, loads Node's own fetch as well: WebSocket is among the
 * module's names, and each name of an imported built-in is looked up. That takes 3 MiB of the daemon for good.
 */
export const { createServer, request, validateHeaderName, validateHeaderValue } =
  process.getBuiltinModule('node:http')
