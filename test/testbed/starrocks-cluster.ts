/** What a statement is answered: rows, an error, or nothing ever. */
export type StandInAnswer =
  | { readonly columns: readonly string[]; readonly rows: readonly (readonly (string | null)[])[] }
  | { readonly error: { readonly code: number; readonly message: string } }
  | 'hang'

export interface StandInState {
  /** By the statement, with one blank between words and without hints; `loads` for information_schema.loads. */
  answers: Record<string, StandInAnswer>
  /** Statements that it was asked, but SET, in their order. */
  asked: string[]
  /** The body of /metrics. */
  feMetrics: string
  beMetrics: string
}

type Row = Readonly<Record<string, string | null>>

/** Rows of the columns that the first one has. */
export function rowsOf(first: Row, ...others: readonly Row[]): StandInAnswer {
  const columns = Object.keys(first)
  return {
    columns,
    rows: [first, ...others].map((row) => columns.map((name) => row[name] ?? null)),
  }
}

/** As StarRocks refuses it. */
export const accessDenied = (privilege: string): StandInAnswer => ({
  error: {
    code: 5203,
    message: `Access denied; you need (at least one of) the ${privilege} privilege(s) on SYSTEM for this operation.`,
  },
})

export const frontend = (more: Row = {}): Row => ({
  Id: '1',
  Name: '127.0.0.1_9010_1637897832',
  IP: '127.0.0.1',
  EditLogPort: '9010',
  HttpPort: '8030',
  QueryPort: '9030',
  RpcPort: '9020',
  Role: 'LEADER',
  ClusterId: '1718',
  Join: 'true',
  Alive: 'true',
  ReplayedJournalId: '4711',
  LastHeartbeat: '2026-01-02 03:04:05',
  IsHelper: 'true',
  ErrMsg: '',
  StartTime: '2026-01-01 00:00:00',
  Version: '3.3.5-6d81f75',
  ...more,
})

export const backend = (more: Row = {}): Row => ({
  BackendId: '10002',
  IP: '127.0.0.1',
  HeartbeatPort: '9050',
  BePort: '9060',
  HttpPort: '8040',
  BrpcPort: '8060',
  LastStartTime: '2026-01-01 00:00:00',
  LastHeartbeat: '2026-01-02 03:04:05',
  Alive: 'true',
  SystemDecommissioned: 'false',
  ClusterDecommissioned: 'false',
  TabletNum: '1024',
  DataUsedCapacity: '12.500 GB',
  AvailCapacity: '1.500 TB',
  TotalCapacity: '2.000 TB',
  UsedPct: '25.00 %',
  MaxDiskUsedPct: '31.25 %',
  ErrMsg: '',
  Version: '3.3.5-6d81f75',
  Status: '{"lastSuccessReportTabletsTime":"2026-01-02 03:04:00"}',
  DataTotalCapacity: '1.512 TB',
  DataUsedPct: '0.81 %',
  CpuCores: '16',
  MemLimit: '57.600GB',
  NumRunningQueries: '3',
  MemUsedPct: '12.50 %',
  CpuUsedPct: '6.3 %',
  DataCacheMetrics: 'N/A',
  Location: '',
  StatusCode: 'OK',
  ...more,
})

export const routineLoad = (more: Row = {}): Row => ({
  Id: '10204',
  Name: 'orders',
  CreateTime: '2026-01-01 21:01:31',
  PauseTime: null,
  EndTime: null,
  DbName: 'erp',
  TableName: 'orders',
  State: 'RUNNING',
  DataSourceType: 'KAFKA',
  CurrentTaskNum: '1',
  JobProperties: '{"format":"json"}',
  DataSourceProperties: '{"topic":"orders","currentKafkaPartitions":"0,1","brokerList":"kafka:9092"}',
  CustomProperties: '{"group.id":"orders"}',
  Statistic:
    '{"receivedBytes":313,"errorRows":2,"committedTaskNum":1,"loadedRows":60,"abortedTaskNum":0,"totalRows":64,"unselectedRows":2,"taskExecuteTimeMs":699}',
  Progress: '{"0":"5","1":"OFFSET_ZERO"}',
  TimestampProgress: '{"0":"1686143856061"}',
  ReasonOfStateChanged: '',
  ErrorLogUrls: '',
  TrackingSQL: '',
  OtherMsg: '',
  LatestSourcePosition: '{"0":"16","1":"7"}',
  OffsetLag: '{"0":"11"}',
  ...more,
})

/** A cluster of one of each that is well, with one routine load in the database erp. */
export function cluster(ports: {
  readonly queryPort: number
  readonly feHttpPort: number
  readonly beHttpPort: number
}): StandInState {
  const [queryPort, feHttpPort, beHttpPort] = [ports.queryPort, ports.feHttpPort, ports.beHttpPort].map(
    String,
  ) as [string, string, string]
  return {
    answers: {
      'SELECT @@version_comment AS version_comment': rowsOf({
        version_comment: 'StarRocks version 3.3.5-6d81f75',
      }),
      'SHOW FRONTENDS': rowsOf(frontend({ QueryPort: queryPort, HttpPort: feHttpPort })),
      'SHOW BACKENDS': rowsOf(backend({ HttpPort: beHttpPort })),
      'SHOW COMPUTE NODES': { columns: ['ComputeNodeId', 'IP', 'HeartbeatPort'], rows: [] },
      'SHOW PROCESSLIST': rowsOf({ Id: '1', User: 'monitor' }, { Id: '2', User: 'flink' }),
      "ADMIN SHOW FRONTEND CONFIG LIKE 'qe_max_connection'": rowsOf({
        Key: 'qe_max_connection',
        AliasNames: '[]',
        Value: '4096',
        Type: 'int',
      }),
      "SHOW PROC '/statistic'": rowsOf(
        {
          DbId: '10001',
          DbName: 'erp',
          TabletNum: '1024',
          UnhealthyTabletNum: '3',
          InconsistentTabletNum: '0',
          CloningTabletNum: '1',
          ErrorStateTabletNum: '0',
        },
        { DbId: 'Total', DbName: '1', TabletNum: '1024', UnhealthyTabletNum: '3' },
      ),
      'SHOW ALL ROUTINE LOAD FROM `erp`': rowsOf(routineLoad()),
      loads: rowsOf(
        { load_type: 'insert', load_state: 'finished', load_count: '12' },
        { load_type: 'insert', load_state: 'cancelled', load_count: '1' },
      ),
    },
    asked: [],
    feMetrics: FE_METRICS,
    beMetrics: BE_METRICS,
  }
}

const FE_METRICS = `# HELP jvm_heap_size_bytes jvm heap stat
# TYPE jvm_heap_size_bytes gauge
jvm_heap_size_bytes{type="max"} 8302362624
jvm_heap_size_bytes{type="committed"} 4302362624
jvm_heap_size_bytes{type="used"} 123456789
# HELP starrocks_fe_query_total total query
# TYPE starrocks_fe_query_total counter
starrocks_fe_query_total 120
starrocks_fe_query_err 4
starrocks_fe_query_latency_ms{quantile="0.75"} 5.0
starrocks_fe_query_latency_ms{quantile="0.99"} 250.0
starrocks_fe_query_latency_ms_sum 4711
starrocks_fe_connection_total 17
starrocks_fe_max_tablet_compaction_score{is_leader="true"} 42
starrocks_fe_txn_failed 2
starrocks_fe_meta_log_count 1234
`

const BE_METRICS = `# TYPE starrocks_be_disks_total_capacity gauge
starrocks_be_disks_total_capacity{path="/data/a"} 2000
starrocks_be_disks_total_capacity{path="/data/b"} 4000
starrocks_be_disks_avail_capacity{path="/data/a"} 1500
starrocks_be_disks_avail_capacity{path="/data/b"} NaN
starrocks_be_engine_requests_total{status="failed",type="base_compaction"} 1
starrocks_be_engine_requests_total{status="failed",type="cumulative_compaction"} 2
starrocks_be_engine_requests_total{status="failed",type="clone"} 3
starrocks_be_engine_requests_total{status="total",type="base_compaction"} 100
starrocks_be_max_tablet_rowset_num 77
`
