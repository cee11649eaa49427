import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { createClient } from 'redis'

export interface TrafficOptions {
  /** Of the database `erp`. */
  readonly url: string
  readonly tenants: readonly string[]
  /** Transactions per second, over all tenants; less when the database is slower. */
  readonly ratePerSecond: number
  /** Whether a tenth of the transactions deletes a recent journal with its lines; no where absent. */
  readonly deletes?: boolean
  /** A Redis server where each transaction puts a vote on the list `votes` and takes one from it. */
  readonly redisUrl?: string
}

/** What was committed; `failed` counts transactions and votes that a server broke off or refused. */
interface TrafficCounters {
  journals: number
  lines: number
  cashUpdates: number
  deletedJournals: number
  votesPushed: number
  votesPopped: number
  failed: number
}

export interface Traffic {
  readonly counters: Readonly<TrafficCounters>
  /** Resolves when the transaction under way is over and the connections are closed. */
  stop(): Promise<void>
}

/** Writes to the ERP until it is stopped. A server that is away costs transactions, never an error. */
export function startTraffic(options: TrafficOptions): Traffic {
  const { url, tenants, ratePerSecond, deletes = false, redisUrl } = options
  const counters: TrafficCounters = {
    journals: 0,
    lines: 0,
    cashUpdates: 0,
    deletedJournals: 0,
    votesPushed: 0,
    votesPopped: 0,
    failed: 0,
  }
  const stopping = new AbortController()
  const pool = new pg.Pool({
    connectionString: url,
    max: 1,
    // A server that hangs is given up, one that is slow is not.
    connectionTimeoutMillis: 30_000,
    query_timeout: 30_000,
  })
  // An idle connection that breaks is replaced by the next transaction.
  pool.on('error', () => {})
  const running = Promise.all([write(), redisUrl === undefined ? undefined : vote(redisUrl)])
  return {
    counters,
    async stop() {
      stopping.abort()
      await running
      await pool.end()
    },
  }

  async function write(): Promise<void> {
    for await (const n of ticks(ratePerSecond, stopping.signal)) {
      const tenant = tenants[n % tenants.length] as string
      // In turn for each tenant: of ten transactions two move cash, one may delete, the others book.
      const turn = Math.floor(n / tenants.length) % 10
      try {
        if (turn === 3 || turn === 7) await moveCash(tenant)
        else if (turn === 9 && deletes) await deleteJournal(tenant)
        else await book(tenant, n)
      } catch {
        counters.failed++
      }
    }
  }

  /** A journal whose debits equal its credits, all at once. */
  async function book(tenant: string, n: number): Promise<void> {
    const amounts = Array.from({ length: 1 + (n % 3) }, (_, i) => 1_000 + ((n * 7 + i * 13) % 9_000))
    const total = amounts.reduce((sum, amount) => sum + amount, 0)
    const lines = [
      ...amounts.map((amount, i) => ({ account: `5-${100 + i}`, debit: amount, credit: 0 })),
      { account: '1-100', debit: 0, credit: total },
    ]
    await pool.query(
      `WITH journal AS (
         INSERT INTO ${tenant}.journals (number, description) VALUES ($1, $2) RETURNING id
       )
       INSERT INTO ${tenant}.journal_lines (journal_id, account, debit, credit)
       SELECT journal.id, line.account, line.debit, line.credit
       FROM journal, json_to_recordset($3) AS line(account text, debit numeric, credit numeric)`,
      [`JV-${n}`, `Voucher ${n}`, JSON.stringify(lines)],
    )
    counters.journals++
    counters.lines += lines.length
  }

  async function moveCash(tenant: string): Promise<void> {
    const { rowCount } = await pool.query(
      `UPDATE ${tenant}.cash_accounts
       SET balance = balance + CASE id WHEN 1 THEN 12.34 ELSE -12.34 END, updated_at = now()
       WHERE id IN (1, 2)`,
    )
    counters.cashUpdates += rowCount ?? 0
  }

  async function deleteJournal(tenant: string): Promise<void> {
    const { rowCount } = await pool.query(
      `WITH recent AS (SELECT id FROM ${tenant}.journals ORDER BY id DESC OFFSET 5 LIMIT 1),
         lines AS (DELETE FROM ${tenant}.journal_lines WHERE journal_id IN (SELECT id FROM recent))
       DELETE FROM ${tenant}.journals WHERE id IN (SELECT id FROM recent)`,
    )
    counters.deletedJournals += rowCount ?? 0
  }

  async function vote(url: string): Promise<void> {
    const redis = createClient({
      url,
      disableOfflineQueue: true,
      socket: { connectTimeout: 30_000, socketTimeout: 30_000 },
    })
    // The client connects again by itself; meanwhile nobody votes.
    redis.on('error', () => {})
    void redis.connect().catch(() => {})
    for await (const n of ticks(ratePerSecond, stopping.signal)) {
      if (!redis.isReady) continue
      try {
        await redis.lPush('votes', JSON.stringify({ voter: n, vote: n % 2 === 0 ? 'a' : 'b' }))
        counters.votesPushed++
        // The worker is always a little behind, so that the queue is seldom empty.
        if ((await redis.lLen('votes')) <= 10) continue
        if ((await redis.rPop('votes')) !== null) counters.votesPopped++
      } catch {
        counters.failed++
      }
    }
    redis.destroy()
  }
}

/** Counts from 0 at this rate; what was missed is not made up for. */
async function* ticks(perSecond: number, signal: AbortSignal): AsyncGenerator<number> {
  for (let n = 0; !signal.aborted; n++) {
    yield n
    await delay(1_000 / perSecond, undefined, { signal }).catch(() => {})
  }
}
