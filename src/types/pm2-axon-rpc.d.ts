declare module 'pm2-axon-rpc' {
  import type { RequestSocket } from 'pm2-axon'

  class Client {
    constructor(socket: RequestSocket)
    call(method: string, argument: unknown, done: (error: Error | null, answer: unknown) => void): void
  }
  const rpc: { Client: typeof Client }
  export default rpc
}
