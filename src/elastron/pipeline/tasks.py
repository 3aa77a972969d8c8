"""What other nodes are given to work on, and what follows when that fails.

The same for a part of a scan and for an item by itself. No threads and no clock: the step calls
it, under its lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from elastron.errors import CapacityError, ConfigError, ConnectError, ElastronError, RemoteError
from elastron.pipeline.chain import Named
from elastron.pipeline.peer_choice import PeerChoice
from elastron.pipeline.remote import WorkerDiedError

#: A task that failed so often, not counting refusals, fails the scan; the original's number.
ATTEMPTS_MAX = 3


@dataclass(slots=True, eq=False, kw_only=True)
class Task:
    """How the work on something failed so far; what it is, its `str` says.

    Attributes:
        failures: (peer, reason) of attempts that failed.
        avoided: peers that shall not get it again.
        died: a worker process died of it, so it is not worked on in ours.
    """

    failures: list[tuple[str, str]] = field(default_factory=list)
    avoided: set[str] = field(default_factory=set)
    died: bool = False

    def told(self) -> str:
        """What became of it, in words."""
        reasons = "; ".join(f"node {peer}: {reason}" for peer, reason in self.failures)
        times = f"{len(self.failures)} time{'s' * (len(self.failures) != 1)}"
        return f"{self} failed {times}: {reasons}"


class Judge:
    """Decides what failures mean for tasks.

    Args:
        named: the step's place, for errors.
        log: of the session.
        choice: the peers.

    Attributes:
        unable: why no task can be worked on here; None: none was tried, or it went well.
    """

    def __init__(self, named: Named, log: Any, choice: PeerChoice) -> None:
        self._named = named
        self._log = log
        self._choice = choice
        self._warned = False
        self.unable: Exception | None = None

    def works_here(self) -> None:
        """This node works on a task itself; said once."""
        if not self._warned:
            self._warned = True
            self._log.warning(
                "no other node takes a part of this scan: this node works on it itself",
                peers=len(self._choice.known),
            )

    def failed_here(self, error: Exception) -> None:
        """This node failed a task.

        Raises:
            ElastronError: others would fail it too.
        """
        if not isinstance(error, ConfigError):  # else: others may have what we lack
            raise error if isinstance(error, ElastronError) else self._named.failure(error)
        self.unable = error

    def failed(self, peer: str, error: Exception, task: Task | None, **details: Any) -> None:
        """A peer failed a task.

        Args:
            peer: where.
            error: how.
            task: it was at work on; None: on none.
            details: for the log.

        Raises:
            ElastronError: it was one failure too many.
        """
        if isinstance(error, CapacityError):
            self._log.debug("a peer has no place", peer=peer)
            return
        self._log.warning("a peer failed", peer=peer, **details, reason=str(error))
        if isinstance(error, ConnectError) or task is None:
            return
        task.failures.append((peer, str(error)))
        task.avoided.add(peer)
        task.died = task.died or isinstance(error, WorkerDiedError)
        nobody_else = isinstance(error, RemoteError) and task.avoided.issuperset(self._choice.known)
        if nobody_else or len(task.failures) >= ATTEMPTS_MAX:
            raise self._named.failure(RemoteError(task.told()))

    def nobody(self, task: Task, kind: str) -> ElastronError:
        """The error where nobody is there to work on a task; `kind` says of what it is one."""
        reasons = [str(self.unable)] if self.unable else []
        reasons += [task.told()] if task.failures else []
        return self._named.failure(
            RemoteError(f"no node is there to work on {kind}: {'; '.join(reasons)}")
        )
