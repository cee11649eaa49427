// The voting app's worker: takes votes from the Redis list `votes` and stores them in PostgreSQL, one by one. Who
// votes again changes the vote. After SIGTERM it ends with the vote under way stored.
// Environment: PORT, REDIS_URL, POSTGRES_URL.
import pg from 'pg'
import { Histogram } from 'prom-client'
import { createClient } from 'redis'
import { serve } from './server.ts'

const { PORT, REDIS_URL = '', POSTGRES_URL = '' } = process.env
const processing = new Histogram({
  name: 'worker_processing_seconds',
  help: 'Time from the queue to the database for one vote.',
})
const redis = createClient({ url: REDIS_URL })
redis.on('error', (error) => console.error(error))
const database = new pg.Client({ connectionString: POSTGRES_URL })
await Promise.all([redis.connect(), database.connect()])
await database.query('CREATE TABLE IF NOT EXISTS votes (voter text PRIMARY KEY, vote text NOT NULL)')

let stopping = false
const stopped = Promise.withResolvers<void>()
serve(PORT, {}, () => {
  stopping = true
  return stopped.promise
})

while (!stopping) {
  const next = await redis.blPop('votes', 1)
  if (!next) continue
  const stopTimer = processing.startTimer()
  const { voter, vote } = JSON.parse(next.element) as { voter: string; vote: string }
  await database.query(
    'INSERT INTO votes (voter, vote) VALUES ($1, $2) ON CONFLICT (voter) DO UPDATE SET vote = excluded.vote',
    [voter, vote],
  )
  stopTimer()
}
await Promise.all([redis.close(), database.end()])
stopped.resolve()
