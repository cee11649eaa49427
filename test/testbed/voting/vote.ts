// The voting app's front: takes votes by `POST /vote` and puts them on the Redis list `votes`.
// Environment: PORT, REDIS_URL.
import { Counter } from 'prom-client'
import { createClient } from 'redis'
import { serve } from './server.ts'

const { PORT, REDIS_URL = '' } = process.env
const votes = new Counter({ name: 'votes_total', help: 'Votes that were taken.', labelNames: ['vote'] })
const redis = createClient({ url: REDIS_URL })
redis.on('error', (error) => console.error(error))
await redis.connect()

serve(
  PORT,
  {
    async 'POST /vote'(body) {
      const { voter, vote } = JSON.parse(body) as { voter?: unknown; vote?: unknown }
      if (typeof voter !== 'string' || (vote !== 'a' && vote !== 'b')) {
        return { status: 400, body: 'expected a voter, and a or b as vote' }
      }
      await redis.rPush('votes', JSON.stringify({ voter, vote }))
      votes.inc({ vote })
      return { status: 202, body: { voter, vote } }
    },
  },
  () => redis.close(),
)
