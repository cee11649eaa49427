import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hintOf } from '../../src/operations/runbook-hints.ts'
import { javaTrace } from './observed.ts'

const real = (name: string) => readFileSync(join(import.meta.dirname, '../clients/traces', name), 'utf8')
const CONNECT =
  'org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.'

test.each([
  ['slot-lost', 'slot-dropped.txt'],
  ['publication-missing', 'publication-absent-at-start.txt'],
  ['authentication', 'authentication.txt'],
  ['converter', 'converter.txt'],
])('%s, in the trace that Connect gave', (id, file) => {
  expect(hintOf(real(file))?.id).toBe(id)
})

// As the servers and connectors word them.
test.each([
  ['slot-lost', 'org.postgresql.util.PSQLException: ERROR: replication slot "erp_cdc" does not exist'],
  [
    'slot-lost',
    'org.postgresql.util.PSQLException: ERROR: can no longer get changes from replication slot "erp_cdc"\n  Detail: This slot has been invalidated because it exceeded the maximum reserved size.',
  ],
  [
    'slot-lost',
    'org.postgresql.util.PSQLException: ERROR: requested WAL segment 00000001000000000000000A has already been removed',
  ],
  [
    'slot-in-use',
    'org.postgresql.util.PSQLException: ERROR: replication slot "erp_cdc" is active for PID 4711',
  ],
  [
    'publication-missing',
    'org.postgresql.util.PSQLException: ERROR: publication "erp_cdc" does not exist\n  Where: slot "erp_cdc", output plugin "pgoutput", in the change callback',
  ],
  ['authentication', "java.sql.SQLException: Access denied for user 'cdc'@'10.0.0.1' (using password: YES)"],
  [
    'authentication',
    'org.apache.kafka.common.errors.SaslAuthenticationException: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512',
  ],
  ['permission', 'org.postgresql.util.PSQLException: ERROR: permission denied for table journals'],
  [
    'permission',
    'org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to access topics: [erp.alpha.journals]',
  ],
  [
    'schema-change',
    "io.debezium.DebeziumException: Error processing binlog event: Encountered change event for table inventory.orders whose schema isn't known to this connector",
  ],
  [
    'schema-change',
    'io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException: Schema being registered is incompatible with an earlier schema for subject "erp-value"; error code: 409',
  ],
  [
    'schema-change',
    'java.sql.SQLException: Code: 16. DB::Exception: No such column note in table erp.journals. (NO_SUCH_COLUMN_IN_TABLE)',
  ],
  [
    'schema-change',
    'org.postgresql.util.PSQLException: ERROR: column "note" of relation "journals" does not exist',
  ],
  ['table-missing', 'org.postgresql.util.PSQLException: ERROR: relation "public.journals" does not exist'],
  [
    'table-missing',
    'io.confluent.connect.jdbc.sink.TableAlterOrCreateException: Table "journals" is missing and auto-creation is disabled',
  ],
  [
    'table-missing',
    'java.lang.RuntimeException: Code: 60. DB::Exception: Table erp.journals does not exist. (UNKNOWN_TABLE)',
  ],
  ['converter', 'org.apache.kafka.common.errors.SerializationException: Unknown magic byte!'],
  [
    'converter',
    'org.apache.kafka.connect.errors.DataException: JsonConverter with schemas.enable requires "schema" and "payload" fields',
  ],
  ['unreachable', 'java.net.ConnectException: Connection refused'],
  ['unreachable', 'java.net.UnknownHostException: postgres.internal'],
  [
    'record-too-large',
    'org.apache.kafka.common.errors.RecordTooLargeException: The message is 1573018 bytes when serialized which is larger than 1048576',
  ],
  ['out-of-memory', 'java.lang.OutOfMemoryError: Java heap space'],
])('%s: %s', (id, cause) => {
  const hint = hintOf(javaTrace(CONNECT, cause))
  expect(hint?.id).toBe(id)
  expect(hint?.first_steps.length).toBeGreaterThan(0)
})

test('what is not well known has no hint, whatever classes its frames name', () => {
  expect(hintOf(`a.b.OddException: odd\n\tat x.SaslAuthenticationException.<init>(X.java:1)`)).toBeUndefined()
  expect(hintOf('')).toBeUndefined()
})
