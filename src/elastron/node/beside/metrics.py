"""What Prometheus may ask a sidecar: the names and meanings of a node's own metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Readings:
    """Figures at one time.

    Attributes:
        running: scans.
        started, finished: reconstructions since the log began.
        capacity: scans at once.
        up: the Gadgetron answers.
    """

    running: int
    started: int
    finished: int
    capacity: int
    up: bool


class SidecarMetrics(Collector):
    """Asks when somebody scrapes.

    Args:
        read: the figures.
    """

    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        now = self._read()
        yield GaugeMetricFamily(
            "gadgetron_activity", "Reconstructions running now.", value=now.running
        )
        yield CounterMetricFamily(
            "gadgetron_reconstruction_start", "Reconstructions started.", value=now.started
        )
        yield CounterMetricFamily(
            "gadgetron_reconstruction_finish",
            "Reconstructions ended, well or not.",
            value=now.finished,
        )
        yield GaugeMetricFamily("elastron_capacity", "Sessions at once.", value=now.capacity)
        yield GaugeMetricFamily(
            "elastron_gadgetron_up", "1 if the Gadgetron answers a question.", value=int(now.up)
        )

    def exposition(self) -> bytes:
        """The text a scrape gets."""
        return generate_latest(self._registry)
