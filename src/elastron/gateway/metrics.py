"""What Prometheus may ask the gateway; units and labels in docs/reference/metrics.md."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from elastron.fleet.model import Demand, Node, NodeState
from elastron.gateway.tls_failures import OUTCOMES as TLS_OUTCOMES

#: Seconds; from a liveness check to a scan with a long reconstruction.
_SESSION_BUCKETS_S = (
    *(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    *(60, 120, 300, 600, 1800, 3600, 7200, 14400),
)

#: Seconds; from no waiting at all to a fleet that has to buy a machine first.
_QUEUE_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

#: Label values; anything else counts as `other`, so that no label grows without bound.
OUTCOMES = ("ok", "error", "lost", "timeout", "cancelled", "failed", "probe")
REPLAY_REASONS = ("connection", "worker", "stalled", "draining", "full", "dead", "recount")
REFUSAL_REASONS = ("draining", "full", "queue", "waiting", "pending", "flood", "tls", "journal")
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Readings:
    """What the gateway is and has at the moment of a scrape; all of it is cheap to read.

    Attributes:
        nodes: the fleet.
        demand: of each pool.
        bytes_in, bytes_out: of clients' connections since the start, running sessions included.
        journal_memory_bytes, journal_disk_bytes: where scans are kept that still run.
        archive_bytes: in the archive's folder; None without an archive.
        results_bytes: images kept for clients that left.
        events_subscribers: who listen at `/events`.
        tls_handshakes: ended so far, by how; None without TLS.
        tls_shaking: handshakes under way.
    """

    nodes: Sequence[Node] = ()
    demand: Mapping[str, Demand] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    journal_memory_bytes: int = 0
    journal_disk_bytes: int = 0
    archive_bytes: int | None = None
    results_bytes: int = 0
    events_subscribers: int = 0
    tls_handshakes: Mapping[str, int] | None = None
    tls_shaking: int = 0


class _Gauges(Collector):
    """Gauges and byte counts, from one reading a scrape."""

    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Everything that is read when somebody asks."""
        now = self._read()
        yield _labelled(
            "elastron_demand",
            "Scans that want a place: running and queued.",
            {pool: demand.total for pool, demand in now.demand.items()},
        )
        yield _labelled(
            "elastron_queue_length",
            "Scans that wait for a node.",
            {pool: demand.queued for pool, demand in now.demand.items()},
        )
        pools = {node.pool for node in now.nodes} | set(now.demand)
        counts = Tally((node.pool, node.state) for node in now.nodes)
        nodes = GaugeMetricFamily("elastron_nodes", "Nodes known.", labels=["pool", "state"])
        for pool in sorted(pools):
            for state in NodeState:
                nodes.add_metric([pool, state.value], counts[pool, state])
        yield nodes
        # What can take scans now; a draining or dead node's places are none.
        capacity = dict.fromkeys(sorted(pools), 0)
        for node in now.nodes:
            if node.state in (NodeState.READY, NodeState.BUSY):
                capacity[node.pool] += node.capacity
        yield _labelled("elastron_capacity", "Sessions at once on nodes that work.", capacity)
        yield _journal(now)
        if now.archive_bytes is not None:
            yield GaugeMetricFamily(
                "elastron_archive_bytes", "Bytes in the archive.", value=now.archive_bytes
            )
        yield GaugeMetricFamily(
            "elastron_results_bytes",
            "Bytes of images kept for clients that left.",
            value=now.results_bytes,
        )
        yield GaugeMetricFamily(
            "elastron_events_subscribers",
            "Connections that listen at /events.",
            value=now.events_subscribers,
        )
        if now.tls_handshakes is not None:
            yield from _tls(now.tls_handshakes, now.tls_shaking)
        traffic = CounterMetricFamily(
            "elastron_bytes", "Bytes of scan connections.", labels=["direction"]
        )
        traffic.add_metric(["in"], now.bytes_in)
        traffic.add_metric(["out"], now.bytes_out)
        yield traffic


def _labelled(name: str, text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["pool"])
    for pool, value in values.items():
        family.add_metric([pool], value)
    return family


def _journal(now: Readings) -> Metric:
    family = GaugeMetricFamily(
        "elastron_journal_bytes", "Bytes of running scans kept for a replay.", labels=["place"]
    )
    family.add_metric(["memory"], now.journal_memory_bytes)
    family.add_metric(["disk"], now.journal_disk_bytes)
    return family


def _tls(handshakes: Mapping[str, int], shaking: int) -> Iterator[Metric]:
    ended = CounterMetricFamily(
        "elastron_tls_handshakes", "TLS handshakes ended, by how.", labels=["outcome"]
    )
    for outcome in TLS_OUTCOMES:
        ended.add_metric([outcome], handshakes.get(outcome, 0))
    yield ended
    yield GaugeMetricFamily("elastron_tls_shaking", "TLS handshakes under way.", value=shaking)


class Metrics:
    """The gateway's metrics, in a registry of their own (a process may hold several gateways).

    Args:
        read: what is there now; asked at every scrape.
    """

    def __init__(self, read: Callable[[], Readings]) -> None:
        self.registry = CollectorRegistry()
        self._started = Counter(
            "gadgetron_reconstruction_start",
            "Reconstructions started.",
            registry=self.registry,
        )
        self._finished = Counter(
            "gadgetron_reconstruction_finish",
            "Reconstructions ended, well or not.",
            registry=self.registry,
        )
        self._sessions = self._counter("elastron_sessions", "Sessions ended, by how.", "outcome")
        self._refused = self._counter("elastron_refused", "Scans refused, by why.", "reason")
        self._replays = self._counter(
            "elastron_replays", "Scans sent to another node, by why.", "reason"
        )
        for counter, values in (
            (self._sessions, OUTCOMES),
            (self._refused, REFUSAL_REASONS),
            (self._replays, REPLAY_REASONS),
        ):
            for value in (*values, OTHER):
                counter.labels(value)  # a rate needs the zero before the first
        self._session_seconds = Histogram(
            "elastron_session_seconds",
            "Seconds from the first byte to the end of a session.",
            ["pool"],
            buckets=_SESSION_BUCKETS_S,
            registry=self.registry,
        )
        self._queue_seconds = Histogram(
            "elastron_queue_seconds",
            "Seconds a scan waited for a node.",
            ["pool"],
            buckets=_QUEUE_BUCKETS_S,
            registry=self.registry,
        )
        self._images = Counter("elastron_images", "Images delivered.", registry=self.registry)
        self._archived = self._counter(
            "elastron_archived", "Scans for the archive, by what became of them.", "outcome"
        )
        self.registry.register(_Gauges(read))

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(name, text, [label], registry=self.registry)

    def session_started(self) -> None:
        """A scan was given to a node for the first time."""
        self._started.inc()

    def session_ended(
        self,
        outcome: str,
        *,
        seconds: float,
        images: int = 0,
        pool: str = "default",
        placed: bool = True,
    ) -> None:
        """A session has ended.

        Args:
            outcome: one of `OUTCOMES`.
            seconds: since its first byte.
            images: delivered, or kept for the client.
            pool: it was meant for.
            placed: `session_started` was called for it.
        """
        self._sessions.labels(_known(outcome, OUTCOMES)).inc()
        self._session_seconds.labels(pool).observe(seconds)
        self._images.inc(images)
        if placed:
            self._finished.inc()

    def queued(self, *, seconds: float, pool: str = "default") -> None:
        """A scan found its node after so long."""
        self._queue_seconds.labels(pool).observe(seconds)

    def replayed(self, reason: str) -> None:
        """A scan is sent to another node; `reason` is one of `REPLAY_REASONS`."""
        self._replays.labels(_known(reason, REPLAY_REASONS)).inc()

    def refused(self, reason: str) -> None:
        """A client was turned away; `reason` is one of `REFUSAL_REASONS`."""
        self._refused.labels(_known(reason, REFUSAL_REASONS)).inc()

    def archived(self, *, ok: bool) -> None:
        """A scan was archived, or could not be."""
        self._archived.labels("ok" if ok else "failed").inc()

    def exposition(self) -> bytes:
        """The text a scrape gets."""
        return generate_latest(self.registry)


def _known(value: str, values: Sequence[str]) -> str:
    return value if value in values else OTHER
