"""What Prometheus may ask a node; units and labels in docs/reference/metrics.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

#: Seconds; from a liveness check to a scan with a long reconstruction.
_SESSION_BUCKETS_S = (
    *(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    *(60, 120, 300, 600, 1800, 3600, 7200, 14400),
)

#: Bytes; 16 MiB to 16 GiB, in steps of four.
_MEMORY_BUCKETS = tuple(float(4**step << 20) for step in range(2, 8))


class _Bytes(Collector):
    """Bytes of ended and of running sessions; asked for when somebody scrapes."""

    def __init__(self, traffic: Callable[[], tuple[int, int]]) -> None:
        self._traffic = traffic

    def collect(self) -> Iterator[Metric]:
        """The two counters."""
        family = CounterMetricFamily(
            "elastron_bytes", "Bytes of scan connections.", labels=["direction"]
        )
        received, sent = self._traffic()
        family.add_metric(["in"], received)
        family.add_metric(["out"], sent)
        yield family


class NodeMetrics:
    """The node's metrics, in a registry of their own (a process may hold several nodes).

    Args:
        running: sessions that take a place now.
        traffic: bytes received and sent since the start.
        idle_workers: workers ready for a session.
    """

    def __init__(
        self,
        *,
        capacity: int,
        running: Callable[[], int],
        traffic: Callable[[], tuple[int, int]],
        idle_workers: Callable[[], int],
    ) -> None:
        self.registry = CollectorRegistry()
        self.started = Counter(
            "gadgetron_reconstruction_start",
            "Reconstructions started.",
            registry=self.registry,
        )
        self.finished = Counter(
            "gadgetron_reconstruction_finish",
            "Reconstructions ended, well or not.",
            registry=self.registry,
        )
        Gauge(
            "gadgetron_activity", "Reconstructions running now.", registry=self.registry
        ).set_function(running)
        self.sessions = Counter(
            "elastron_sessions",
            "Sessions ended, by how.",
            ["outcome"],
            registry=self.registry,
        )
        self.refused = Counter(
            "elastron_refused",
            "Connections refused, by why.",
            ["reason"],
            registry=self.registry,
        )
        self.session_seconds = Histogram(
            "elastron_session_seconds",
            "Seconds from the first byte to the end of a session.",
            buckets=_SESSION_BUCKETS_S,
            registry=self.registry,
        )
        self.session_memory = Histogram(
            "elastron_session_memory_bytes",
            "Peak memory of a session above that of an idle worker.",
            buckets=_MEMORY_BUCKETS,
            registry=self.registry,
        )
        self.images = Counter("elastron_images", "Images sent.", registry=self.registry)
        Gauge("elastron_capacity", "Sessions at once.", registry=self.registry).set(capacity)
        Gauge(
            "elastron_idle_workers", "Worker processes ready for a session.", registry=self.registry
        ).set_function(idle_workers)
        self.registry.register(_Bytes(traffic))

    def exposition(self) -> bytes:
        """The text a scrape gets."""
        return generate_latest(self.registry)
