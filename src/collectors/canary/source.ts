import { AS_TEXT, pgConnection } from '../../clients/pg-connection.ts'
import { quoteIdentifier } from '../../clients/postgresql.ts'
import type { Settings } from './config.ts'

export interface Source {
  /** Writes the canary `id`, over its last one where there is one; its sequence, once it is committed. */
  write(id: string, signal: AbortSignal): Promise<bigint>
  close(): void
}

export interface Column {
  readonly name: string
  readonly type: string
  /** `t` or `f`, as are those below. */
  readonly is_key: string
  readonly is_plain: string
  readonly acts: string
}

// What else would be written to: a view, a partition, what a trigger or a rule names.
export const COLUMNS = `
  SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type,
    EXISTS (SELECT FROM pg_index i
      WHERE i.indrelid = c.oid AND i.indisprimary AND i.indkey::int2[] <@ ARRAY[a.attnum]) AS is_key,
    c.relkind = 'r' AS is_plain,
    c.relhasrules OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS acts
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  WHERE n.nspname = $1 AND c.relname = $2`

/**
 * The table of canaries. Its `write` is the only statement of this daemon that writes to a database, and writes
 * to no table that was not made for it.
 */
export function postgresqlSource({ source, statement_timeout }: Settings): Source {
  const [schema = '', table = ''] = source.table.split('.')
  const connection = pgConnection('postgresql', () => source.postgresql.url.reveal())
  return {
    write: (id, signal) =>
      connection.run(`INSERT INTO ${source.table}`, signal, async (client) => {
        await client.query(beginWriting(statement_timeout))
        try {
          const columns = await client.query<Column>({
            text: COLUMNS,
            values: [schema, table],
            types: AS_TEXT,
          })
          const fault = faultOf(source.columns, columns.rows)
          if (fault !== undefined) {
            throw new Error(`nothing is written to it, since it is no table of canaries alone: ${fault}`)
          }
          const { rows } = await client.query<{ sequence: string }>({
            text: writing(source, schema, table),
            values: [id],
            types: AS_TEXT,
          })
          await client.query('COMMIT')
          return BigInt(rows[0]?.sequence ?? '')
        } catch (error) {
          // Fails only with the connection, and with that the transaction has ended.
          await client.query('ROLLBACK').catch(() => {})
          throw error
        }
      }),
    close: () => connection.close(),
  }
}

/** Why it may not be a table of canaries and of nothing else; undefined where it is one. */
export function faultOf(
  columns: Settings['source']['columns'],
  found: readonly Column[],
): string | undefined {
  const [first] = found
  if (!first) return 'it is not there'
  if (first.is_plain !== 't') return 'it is no plain table'
  if (first.acts === 't') return 'it has a trigger or a rule'
  const wanted = new Map([
    [columns.id, /^(text|character varying)$/],
    [columns.sequence, /^bigint$/],
    [columns.written_at, /^timestamp with(out)? time zone$/],
  ])
  for (const { name, type, is_key } of found) {
    const expected = wanted.get(name)
    if (!expected) return `it has a column ${name}`
    if (!expected.test(type)) return `its column ${name} is ${type}`
    if (name === columns.id && is_key !== 't') return `its primary key is not ${name}`
    wanted.delete(name)
  }
  const [missing] = wanted.keys()
  return missing === undefined ? undefined : `it has no column ${missing}`
}

const beginWriting = (timeout: number): string =>
  [
    'BEGIN READ WRITE',
    `SET LOCAL statement_timeout = ${timeout}`,
    // A daemon that stands still would hold back the horizon of the whole database.
    `SET LOCAL idle_in_transaction_session_timeout = ${timeout}`,
  ].join('; ')

// Microseconds of the source's clock, and always more than the last: unique over restarts of the daemon too.
function writing({ columns }: Settings['source'], schema: string, table: string): string {
  const [id, sequence, writtenAt] = [columns.id, columns.sequence, columns.written_at].map(quoteIdentifier)
  return `
    INSERT INTO ${quoteIdentifier(schema)}.${quoteIdentifier(table)} AS canary (${id}, ${sequence}, ${writtenAt})
    VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, clock_timestamp())
    ON CONFLICT (${id}) DO UPDATE SET
      ${sequence} = greatest(excluded.${sequence}, canary.${sequence} + 1), ${writtenAt} = excluded.${writtenAt}
    RETURNING ${sequence} AS sequence`
}
