interface LastCommit {
  sum: number
  /** Undefined until it was seen to change. */
  at: number | undefined
  /** The pass that last saw it. */
  pass: number
}

/** When the committed offsets of each group and topic were last seen to change. Times in milliseconds. */
export class CommitAges {
  readonly #groups = new Map<string, Map<string, LastCommit>>()
  #pass = 0
  #known = 0
  #seen = 0

  begin(): void {
    this.#pass++
    this.#seen = 0
  }

  /** `sum`: of the group's offsets in the topic. Undefined until a change was seen. */
  age(group: string, topic: string, sum: number, now: number): number | undefined {
    let topics = this.#groups.get(group)
    if (!topics) {
      topics = new Map()
      this.#groups.set(group, topics)
    }
    this.#seen++
    const last = topics.get(topic)
    if (!last) {
      this.#known++
      topics.set(topic, { sum, at: undefined, pass: this.#pass })
      return undefined
    }
    if (last.sum !== sum) {
      last.sum = sum
      last.at = now
    }
    last.pass = this.#pass
    return last.at === undefined ? undefined : now - last.at
  }

  /** Forgets the groups and topics that this pass did not see; `unread` groups could not be read, and stay. */
  end(unread: Iterable<string>): void {
    if (this.#seen === this.#known) return
    const kept = new Set(unread)
    for (const [group, topics] of this.#groups) {
      if (kept.has(group)) continue
      for (const [topic, { pass }] of topics) {
        if (pass === this.#pass) continue
        topics.delete(topic)
        this.#known--
      }
      if (topics.size === 0) this.#groups.delete(group)
    }
  }
}
