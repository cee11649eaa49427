import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { inspect } from 'node:util'

/**
 * A password, token or URL with a password in it. Prints as `<secret>` everywhere; `reveal()` is the only
 * way to its text. One that comes from a file is read anew at each `reveal()`, so that a rotated secret is
 * taken up without a restart.
 */
export class Secret {
  readonly #value: string | undefined
  #file: string | undefined
  #last: string | undefined

  constructor(source: { readonly value: string } | { readonly file: string }) {
    this.#value = 'value' in source ? source.value : undefined
    this.#file = 'file' in source ? source.file : undefined
  }

  /** The file it is read from, if any. */
  get file(): string | undefined {
    return this.#file
  }

  /** Makes a relative file name relative to `folder`: the configuration's. */
  anchor(folder: string): void {
    if (this.#file !== undefined) this.#file = resolve(folder, this.#file)
  }

  /** The text, without a trailing line break. Throws when the file cannot be read. */
  reveal(): string {
    if (this.#file === undefined) return this.#value ?? ''
    this.#last = readFileSync(this.#file, 'utf8').replace(/\r?\n$/, '')
    return this.#last
  }

  /** The text as last revealed, for redaction. */
  get known(): string | undefined {
    return this.#value ?? this.#last
  }

  toString(): string {
    return '<secret>'
  }
  toJSON(): string {
    return '<secret>'
  }
  [inspect.custom](): string {
    return '<secret>'
  }
}
