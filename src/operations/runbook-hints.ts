/** What is usually behind a failure, and what to do first. */
export interface RunbookHint {
  readonly id: string
  readonly title: string
  readonly first_steps: readonly string[]
}

interface Rule extends RunbookHint {
  /** Looked for in the lines of the trace that name a throwable, its message among them. */
  readonly pattern: RegExp
}

// The order counts: what is told more exactly comes first.
const RULES: readonly Rule[] = [
  {
    id: 'slot-lost',
    title: 'The replication slot is gone or no longer holds the WAL that the connector needs',
    pattern:
      /replication slot "[^"]*" does not exist|can no longer (get changes from|access) replication slot|requested WAL segment \S+ has already been removed|(but|however,?) this is no longer available on the server/i,
    first_steps: [
      'Look at the slot: SELECT slot_name, active, wal_status, invalidation_reason FROM pg_replication_slots.',
      'Changes since the last confirmed position are lost for this connector: plan a new snapshot of its tables.',
      'Stop the connector (PUT /connectors/<name>/stop), drop its offsets (DELETE /connectors/<name>/offsets), resume it: it makes a new slot and, by its snapshot.mode, a new snapshot.',
      'Find out why: somebody dropped the slot, max_slot_wal_keep_size was exceeded, or a failover went to a server without it.',
      'Compare the row counts of both sides afterwards: rows deleted meanwhile stay in the sink.',
    ],
  },
  {
    id: 'slot-in-use',
    title: 'Another session uses the replication slot',
    pattern: /replication slot "[^"]*" is active for PID/i,
    first_steps: [
      'Find it: SELECT * FROM pg_stat_replication JOIN pg_replication_slots ON pid = active_pid.',
      'Two connectors may not share a slot: look for the same slot.name in another connector or another Connect cluster.',
      'Is it a connection that is dead already: end it with pg_terminate_backend, or wait for wal_sender_timeout; then restart the task.',
    ],
  },
  {
    id: 'publication-missing',
    title: 'The publication is not in the database',
    pattern:
      /publication "[^"]*" does not exist|publication autocreation is disabled|unable to create filtered publication/i,
    first_steps: [
      'Look for it: SELECT * FROM pg_publication; and its tables: SELECT * FROM pg_publication_tables.',
      'Create it again with the same tables: CREATE PUBLICATION <publication.name> FOR TABLE …; then restart the failed task.',
      'The slot decodes old WAL by the catalogue of that time: where the task fails again on the old position, a new slot and a new snapshot are needed.',
    ],
  },
  {
    id: 'authentication',
    title: 'The credentials are refused',
    pattern:
      /password authentication failed|no pg_hba\.conf entry|SaslAuthenticationException|SSLHandshakeException|SslAuthenticationException|Access denied for user|authentication failed|AUTHENTICATION_FAILED|\brole "[^"]*" does not exist/i,
    first_steps: [
      'Try the same user and password from the host of the worker.',
      'Was a password rotated: change it in the configuration of the connector (or in its secret), then restart the task.',
      'For a certificate: look at its end date and at the authority that the other side trusts.',
    ],
  },
  {
    id: 'permission',
    title: 'The user may not do what the connector needs',
    pattern:
      /permission denied|must be (superuser|owner)|AuthorizationException|ACCESS_DENIED|Not authorized to access/i,
    first_steps: [
      'The root cause names the object: grant the right that is missing to the user of the connector.',
      'A source on PostgreSQL needs REPLICATION, CONNECT, USAGE on the schemas and SELECT on the tables.',
      'On Kafka it needs WRITE (source) or READ (sink and group) on its topics.',
    ],
  },
  {
    id: 'schema-change',
    title: 'A table was changed in a way that the connector or the sink does not follow',
    pattern:
      /whose schema isn't known to this connector|schema being registered is incompatible|incompatible with an earlier schema|SchemaProjectorException|TableAlterOrCreateException.*(column|field|alter)|Cannot (ALTER|add).*(column|field)|column "[^"]*" (of relation "[^"]*" )?does not exist|Unknown column|NO_SUCH_COLUMN_IN_TABLE|THERE_IS_NO_COLUMN|cached plan must not change result type/i,
    first_steps: [
      'Compare the columns of the table at the source and at the sink: what was added, dropped or changed last?',
      'Change the sink to match, or allow the connector to (schema.evolution, auto.evolve), then restart the failed task.',
      'For a schema registry: look at the compatibility of the subject; a field that is added needs a default.',
      'For MySQL: recover the schema history (snapshot.mode=recovery).',
    ],
  },
  {
    id: 'table-missing',
    title: 'A table is not there',
    pattern:
      /relation "[^"]*" does not exist|Table "?[^"]*"? is missing|Table \S+ (does not|doesn't) exist|UNKNOWN_TABLE|could not find (any )?table|Invalid object name/i,
    first_steps: [
      'The root cause names the table: is it in the database and schema that the connection URL names?',
      'Create it, or let the sink do it (auto.create, schema.evolution=basic), then restart the failed task.',
      'Was it renamed: change table.include.list of the source, or the topics and table names of the sink.',
    ],
  },
  {
    id: 'converter',
    title: 'A record cannot be read by the converter',
    pattern:
      /Converting byte\[\] to Kafka Connect data failed|SerializationException|Unknown magic byte|JsonConverter with schemas\.enable requires|Failed to deserialize data|InvalidRecordException/i,
    first_steps: [
      'Does key.converter or value.converter fit what the producer writes (JSON, Avro, schemas.enable)?',
      'Read the record that is named in the log of the worker with a console consumer.',
      'For one poisoned record: errors.tolerance=all with errors.deadletterqueue.topic.name lets the sink go on and keeps the record.',
    ],
  },
  {
    id: 'unreachable',
    title: 'A server cannot be reached',
    pattern:
      /Connection refused|UnknownHostException|connect timed out|Connection timed out|No route to host|The connection attempt failed|terminating connection due to administrator command|Failed to update metadata after|Timed out waiting for a node assignment/i,
    first_steps: [
      'Try host and port of the connector’s configuration from the host of the worker.',
      'Was the server restarted: restart the failed task once it is up again.',
    ],
  },
  {
    id: 'record-too-large',
    title: 'A record is larger than Kafka takes',
    pattern: /RecordTooLargeException|MESSAGE_TOO_LARGE/i,
    first_steps: [
      'Raise producer.override.max.request.size of the connector and max.message.bytes of the topic together.',
      'Is it a column that nobody needs downstream: leave it out with column.exclude.list.',
    ],
  },
  {
    id: 'out-of-memory',
    title: 'The worker ran out of memory',
    pattern: /OutOfMemoryError/,
    first_steps: [
      'Restart the worker: after this error its other tasks are not to be trusted.',
      'Give it a larger heap (KAFKA_HEAP_OPTS), or lower max.queue.size, max.batch.size and max.poll.records.',
    ],
  },
]

/** The first steps for the failure that a trace tells of; undefined for one that is not well known. */
export function hintOf(trace: string): RunbookHint | undefined {
  // The frames name classes that have nothing to do with the cause.
  const text = trace
    .split('\n')
    .filter((line) => !/^\t+(at |\.\.\. )/.test(line))
    .join('\n')
  const rule = RULES.find(({ pattern }) => pattern.test(text))
  return rule && { id: rule.id, title: rule.title, first_steps: rule.first_steps }
}
