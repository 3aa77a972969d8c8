"""What Prometheus may ask the autoscaler; units and labels in docs/reference/metrics.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

#: Seconds; from a fork to a virtual machine with drivers.
_START_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class _Counts(Collector):
    """Nodes started and crashed, and what they cost, as the backend has counted them."""

    def __init__(
        self,
        starts: Callable[[], Mapping[str, int]],
        crashes: Callable[[], Mapping[str, int]],
        seconds: Callable[[], Mapping[str, float]],
    ) -> None:
        self._read = (
            ("elastron_node_starts", "Nodes started.", starts),
            ("elastron_node_crashes", "Nodes that ended unasked.", crashes),
            ("elastron_node_seconds", "Seconds that nodes have run, all together.", seconds),
        )

    def collect(self) -> Iterator[Metric]:
        """The counters."""
        for name, text, read in self._read:
            family = CounterMetricFamily(name, text, labels=["pool"])
            for pool, count in sorted(read().items()):
                family.add_metric([pool], count)
            yield family


class AutoscalerMetrics:
    """The autoscaler's metrics, in a registry of their own.

    Args:
        starts: nodes started since the beginning, by pool.
        crashes: nodes that ended unasked, likewise.
        seconds: that nodes have run, likewise.
    """

    def __init__(
        self,
        starts: Callable[[], Mapping[str, int]] = dict,
        crashes: Callable[[], Mapping[str, int]] = dict,
        seconds: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self.registry = CollectorRegistry()
        self.desired = self._gauge("elastron_desired_nodes", "Nodes a pool should have.")
        self.minimum = self._gauge(
            "elastron_minimum_nodes", "Nodes a pool has at least now, by settings and schedule."
        )
        self.current = self._gauge(
            "elastron_current_nodes", "Nodes a pool has, starting ones too, leaving ones not."
        )
        self.held = Gauge(
            "elastron_autoscaler_held",
            "1 while the gateway does not tell its demand, and the fleet is held as it is.",
            registry=self.registry,
        )
        self.start_seconds = Histogram(
            "elastron_node_start_seconds",
            "Seconds from asking for a node until it takes scans.",
            ["pool"],
            buckets=_START_BUCKETS_S,
            registry=self.registry,
        )
        self.registry.register(_Counts(starts, crashes, seconds))

    def exposition(self) -> bytes:
        """The text a scrape gets."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["pool"], registry=self.registry)
