"""What Prometheus is told. No label holds anything of a patient's."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Metrics:
    """The storage server's metrics, in a registry of their own."""

    def __init__(self, running_uploads: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "elastron_storage_requests_total",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "elastron_storage_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.bytes = Counter(
            "elastron_storage_bytes_total",
            "Bytes of blobs received (in) and sent (out).",
            ("direction",),
            registry=self.registry,
        )
        self.collected = Counter(
            "elastron_storage_collected_total",
            "Expired and orphaned blobs that garbage collection removed.",
            registry=self.registry,
        )
        uploads = Gauge("elastron_storage_uploads", "Uploads under way.", registry=self.registry)
        uploads.set_function(running_uploads)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
