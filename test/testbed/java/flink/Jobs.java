import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;

/** A Flink cluster in one process. Arguments: the REST port, then jobs as name=behaviour, which start in this order. */
public class Jobs {
  public static void main(String[] args) throws Exception {
    Configuration settings =
        Configuration.fromMap(
            Map.of(
                "rest.address", "127.0.0.1",
                "rest.bind-address", "127.0.0.1",
                "rest.port", args[0],
                "metrics.fetcher.update-interval", "500 ms",
                "web.refresh-interval", "500 ms",
                "taskmanager.memory.network.min", "16mb",
                "taskmanager.memory.network.max", "16mb",
                "taskmanager.memory.managed.size", "8mb"));
    MiniCluster cluster =
        new MiniCluster(
            new MiniClusterConfiguration.Builder()
                .setConfiguration(settings)
                .setNumTaskManagers(2)
                .setNumSlotsPerTaskManager(6)
                .build());
    cluster.start();
    for (int i = 1; i < args.length; i++) {
      String[] job = args[i].split("=");
      cluster.submitJob(job(job[0], job[1]).getStreamGraph().getJobGraph()).get();
    }
    Thread.currentThread().join();
  }

  static StreamExecutionEnvironment job(String name, String behaviour) {
    Configuration settings = new Configuration();
    settings.setString("pipeline.name", name);
    settings.setString("restart-strategy.type", behaviour.equals("fails") ? "none" : "fixed-delay");
    settings.setString("restart-strategy.fixed-delay.attempts", "1000000");
    settings.setString("restart-strategy.fixed-delay.delay", "500 ms");
    if (!behaviour.equals("chained")) settings.setString("execution.checkpointing.interval", "1 s");
    settings.setString("execution.checkpointing.tolerable-failed-checkpoints", "1000000");
    if (behaviour.equals("loses-checkpoints")) settings.setString("execution.checkpointing.timeout", "200 ms");
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(settings);
    env.setParallelism(1);
    RateLimiterStrategy rate =
        behaviour.equals("slow") ? RateLimiterStrategy.noOp() : RateLimiterStrategy.perSecond(100);
    DataStream<Long> rows =
        env.fromSource(
            new DataGeneratorSource<>(row -> row, Long.MAX_VALUE, rate, Types.LONG),
            WatermarkStrategy.noWatermarks(),
            "rows");
    // Without it source and sink would be one vertex.
    if (!behaviour.equals("chained")) rows = rows.rebalance();
    rows.map(new Step(behaviour)).name("step").sinkTo(new DiscardingSink<>()).name("kept");
    return env;
  }

  static class Step implements MapFunction<Long, Long>, CheckpointedFunction {
    final String behaviour;
    int rows;

    Step(String behaviour) {
      this.behaviour = behaviour;
    }

    public Long map(Long row) throws Exception {
      if (behaviour.equals("slow")) Thread.sleep(500);
      boolean throwing = behaviour.equals("restarts") && ++rows == 100 || behaviour.equals("fails");
      if (throwing) throw new RuntimeException("row " + row, new IllegalStateException("no place for it"));
      return row;
    }

    public void snapshotState(FunctionSnapshotContext context) throws Exception {
      if (behaviour.equals("loses-checkpoints")) Thread.sleep(600);
    }

    public void initializeState(FunctionInitializationContext context) {}
  }
}
