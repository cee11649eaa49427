// The voting app's result: `GET /votes` answers the votes in PostgreSQL by option.
// Environment: PORT, POSTGRES_URL.
import pg from 'pg'
import { serve } from './server.ts'

const { PORT, POSTGRES_URL = '' } = process.env
const pool = new pg.Pool({ connectionString: POSTGRES_URL })
pool.on('error', (error) => console.error(error))

serve(
  PORT,
  {
    async 'GET /votes'() {
      const { rows } = await pool.query('SELECT vote, count(*)::int AS votes FROM votes GROUP BY vote')
      return { status: 200, body: Object.fromEntries(rows.map(({ vote, votes }) => [vote, votes])) }
    },
  },
  () => pool.end(),
)
