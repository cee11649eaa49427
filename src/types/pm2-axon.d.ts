declare module 'pm2-axon' {
  /** A request socket of axon, as far as it is used here. */
  export interface RequestSocket {
    set(name: 'retry timeout', milliseconds: number): this
    on(event: 'connect' | 'close', listener: () => void): this
    on(event: 'error' | 'socket error', listener: (error: Error) => void): this
    /** Makes the handler of the frames that come from a peer. */
    onmessage(peer: unknown): (frame: Buffer) => void
    connect(path: string): this
    close(): void
  }
  const axon: { socket(type: 'req'): RequestSocket }
  export default axon
}
