interface LastCommit {
  readonly sum: number
  /** Undefined until it was seen to change. */
  readonly at: number | undefined
}

/** When the committed offsets of each group and topic were last seen to change. Times in milliseconds. */
export class CommitAges {
  #before = new Map<string, Map<string, LastCommit>>()
  #now = new Map<string, Map<string, LastCommit>>()

  begin(): void {
    this.#now = new Map()
  }

  /** `sum`: of the group's offsets in the topic. Undefined until a change was seen. */
  age(group: string, topic: string, sum: number, now: number): number | undefined {
    const last = this.#before.get(group)?.get(topic)
    const commit = last === undefined || last.sum === sum ? { sum, at: last?.at } : { sum, at: now }
    const topics = this.#now.get(group)
    if (topics) topics.set(topic, commit)
    else this.#now.set(group, new Map([[topic, commit]]))
    return commit.at === undefined ? undefined : now - commit.at
  }

  /** Forgets the groups of this pass's predecessor that are gone; `unread` ones could not be read, and stay. */
  end(unread: Iterable<string>): void {
    for (const group of unread) {
      const topics = this.#before.get(group)
      if (topics && !this.#now.has(group)) this.#now.set(group, topics)
    }
    this.#before = this.#now
  }
}
