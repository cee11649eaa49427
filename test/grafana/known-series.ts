import { type LabelsOf, ofTheDaemon, savedSeries, withRecorded } from '../prometheus/declared-series.ts'

// Series of others that dashboards show and rules do not use, with their labels beyond those of the scrape. All but
// cAdvisor's are there when names.test.ts asks for them.
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  // Prometheus, of each scrape.
  scrape_duration_seconds: [],
  scrape_samples_scraped: [],
  // The voting app.
  votes_total: ['vote'],
  worker_processing_seconds_bucket: ['le'],
  // node_exporter.
  node_load1: [],
  node_network_receive_bytes_total: ['device'],
  node_network_transmit_bytes_total: ['device'],
  // cAdvisor, as in metrics/testdata/prometheus_metrics of its version 0.49.1; it has the labels and variables of the
  // containers besides, where it is told to.
  container_cpu_usage_seconds_total: ['id', 'image', 'name', 'cpu'],
  container_memory_working_set_bytes: ['id', 'image', 'name'],
  container_start_time_seconds: ['id', 'image', 'name'],
}

/** Says which labels a series of a name may have, but for those of any series; undefined for a name that nobody gives. */
export async function knownSeries(): Promise<LabelsOf> {
  const declared = await ofTheDaemon()
  const other = savedSeries('other-series.txt')
  return withRecorded((name) => declared.get(name) ?? other.get(name) ?? OTHERS[name])
}
