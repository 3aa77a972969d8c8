"""What becomes of a session that has ended: the log, the metrics, the archive, the late fetch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elastron.gateway.journal import Journal
from elastron.gateway.output import Output
from elastron.gateway.relay import Outcome

if TYPE_CHECKING:
    from elastron.gateway.server import Gateway

#: Outcome of a port check: connected, and left without a byte.
PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Ended:
    """A session at its end.

    Attributes:
        id: its id.
        described: as `/sessions` tells it.
        outcome: how it ended.
        placed: it was on a node.
        kept: all of the scan is in the journal.
        taken: its client has all it will ever get.
        log: bound with the id.
    """

    id: str
    described: dict[str, Any]
    outcome: str
    placed: bool
    kept: bool
    taken: bool
    log: Any


async def conclude(gateway: Gateway, ended: Ended, incoming: Journal, output: Output) -> None:
    """Tell of the end, keep what is to be kept, and let the rest go."""
    outcome = ended.outcome
    described: dict[str, Any] = {**ended.described, "outcome": outcome}
    gateway.metrics.session_ended(
        outcome,
        seconds=described["seconds"],
        images=output.images,
        pool=described["pool"],
        placed=ended.placed,
    )
    untold = ("id", "state", "queue_position")
    summary = {name: value for name, value in described.items() if name not in untold}
    if outcome != PROBE:
        level = ended.log.info if outcome == Outcome.OK else ended.log.warning
        level("session ended", **summary)
    if gateway.events.subscribers:
        gateway.events.publish("session", described)
    if ended.kept and gateway.archive.wants(outcome):
        recorded = output.journal if output.recorded else None
        await gateway.archive.keep(ended.id, summary, incoming, recorded, outcome)
    incoming.close()
    if gateway.results.wanted(ended.id) and not ended.taken and output.recorded:
        gateway.results.keep(ended.id, output.journal, outcome=outcome, images=output.images)
    else:
        gateway.results.discard(ended.id)
        output.journal.close()
