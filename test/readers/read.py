"""Reads a text exposition from standard input with Prometheus's own client; says on standard output, as JSON,
how many samples it found, and the type of each family."""
import json
import sys

from prometheus_client.parser import text_fd_to_metric_families

families = list(text_fd_to_metric_families(sys.stdin))
json.dump(
    {
        "samples": sum(len(family.samples) for family in families),
        "types": {family.name: family.type for family in families},
    },
    sys.stdout,
)
