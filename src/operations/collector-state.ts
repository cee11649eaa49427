import type { DatabaseSync } from 'node:sqlite'
import type { KeptState } from '../collection/collector.ts'
import { transaction } from './store.ts'

/**
 * What one instance keeps in the database of `openStore`. Where it cannot be written the collection goes on, and
 * what was not written is with the next change; `onError` is told when that begins.
 */
export function collectorState(
  database: DatabaseSync,
  { collector, target }: { readonly collector: string; readonly target: string },
  onError: (error: unknown) => void,
): KeptState {
  const waiting = new Map<string, unknown>()
  let works = true

  function write(): void {
    const put = database.prepare(
      `INSERT INTO collector_state (collector, target, key, value) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value`,
    )
    const drop = database.prepare(
      'DELETE FROM collector_state WHERE collector = ? AND target = ? AND key = ?',
    )
    transaction(database, () => {
      for (const [key, value] of waiting) {
        if (value === undefined) drop.run(collector, target, key)
        else put.run(collector, target, key, JSON.stringify(value))
      }
    })
    waiting.clear()
  }

  return {
    load() {
      const rows = database
        .prepare('SELECT key, value FROM collector_state WHERE collector = ? AND target = ?')
        .all(collector, target)
      return new Map(rows.map(({ key, value }) => [String(key), JSON.parse(String(value)) as unknown]))
    },
    save(changes) {
      for (const [key, value] of changes) waiting.set(key, value)
      if (waiting.size === 0) return
      try {
        write()
        works = true
      } catch (error) {
        if (works) onError(error)
        works = false
      }
    },
  }
}
