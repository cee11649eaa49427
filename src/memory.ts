/**
 * Gives a buffer's memory back at once. The garbage collector would do so at its next full collection, and what the
 * passes until then leave behind can be more than all that is in use. Only for one made with `allocUnsafeSlow`,
 * which shares its memory with no other; afterwards it and every part of it are empty.
 */
export function free(bytes: Buffer): void {
  if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0)
}
