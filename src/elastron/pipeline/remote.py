"""Other nodes as a chain sees them: a port, and how their answers are read.

A peer is any server of the Gadgetron protocol. To it we are a client like others: config by value,
header, data, CLOSE; it answers with data, perhaps errors, then CLOSE. Sockets and discovery are
whoever implements `Peers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from elastron.errors import CapacityError, ConnectionLostError, ProtocolError, RemoteError
from elastron.gadgets.base import Context, Item
from elastron.mrd.header import serialize_header
from elastron.pipeline.chain import Chain
from elastron.pipeline.config import Config
from elastron.pipeline.serialize import serialize_config
from elastron.wire import Buffer, encode, message_id
from elastron.wire.faults import Fault, fault_of, is_error
from elastron.wire.messages import (
    Close,
    ConfigXml,
    Error,
    HeaderXml,
    Message,
    MessageId,
    Response,
    Text,
)
from elastron.wire.scan_mark import marked, new_mark

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class DistributionLimits:
    """What distributing one scan may take.

    Attributes:
        memory_bytes_max: data kept so that they can be sent again, in memory.
        disk_bytes_max: the same, in temporary files once memory is used up.
        results_bytes_max: results that wait for those that go before them.
        idle_s: a part that got no data for so long is taken for complete, and its link freed.
        wait_s: longest wait for any peer, when a part must not be worked on here.
        folder: for temporary files; None for the system's.
    """

    memory_bytes_max: int = 256 * MIB
    disk_bytes_max: int = 64 * GIB
    results_bytes_max: int = 256 * MIB
    idle_s: float = 10.0
    wait_s: float = 120.0
    folder: Path | None = None


class Link(Protocol):
    """A connection to a peer; one thread sends, another receives."""

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send bytes; waits while the peer is slow.

        Raises:
            ConnectionLostError, DeadlineError: it is gone, or takes nothing for too long.
        """
        ...

    def messages(self) -> Iterator[Message]:
        """What the peer says, until it ends its stream.

        Raises:
            ConnectionLostError, DeadlineError: it is gone, or silent for too long.
            ProtocolError: what came is no message.
        """
        ...

    def abort(self) -> None:
        """End it at once; any thread may call it, and both sides wake."""
        ...

    def close(self) -> None:
        """Free it; nobody sends or receives any more."""
        ...


class Peers(Protocol):
    """The nodes that parts of a scan may go to; used by several threads."""

    limits: DistributionLimits

    def discover(self) -> Sequence[str]:
        """Peers that are ready now, least loaded first, without ourselves; cheap to call often."""
        ...

    def connect(self, peer: str) -> Link:
        """Connect to one.

        Raises:
            ConnectError: it does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Remote:
    """A stream that runs on other nodes.

    Attributes:
        inner: the config they get.
        readable: messages taken from them.
        writable: messages sent to them.
        context: of the scan.
        peers: None for none.
        build: the stream's chain, for work in this process.
    """

    inner: Config
    readable: frozenset[MessageId]
    writable: frozenset[MessageId]
    context: Context
    peers: Peers | None
    build: Callable[[], Chain]

    @property
    def limits(self) -> DistributionLimits:
        """What distributing may take."""
        return DistributionLimits() if self.peers is None else self.peers.limits

    def discover(self) -> list[str]:
        """Peers, best first."""
        return [] if self.peers is None else list(self.peers.discover())

    def connect(self, peer: str) -> Link:
        """Connect to a peer that was discovered.

        Raises:
            ConnectError: it does not answer.
        """
        return cast(Peers, self.peers).connect(peer)

    def greeting(self) -> list[Buffer]:
        """What peers are sent first: the config by value, then the MRD header.

        The config has a mark, another with each call: those that get the same work on one scan.
        """
        header = serialize_header(self.context.header)
        config = marked(serialize_config(self.inner), new_mark())
        messages = (ConfigXml(config), HeaderXml(header))
        return [buffer for message in messages for buffer in encode(message)]


class WorkerDiedError(ConnectionLostError):
    """The process on the peer died of the work, or at least during it."""


def results(link: Link, readable: frozenset[MessageId]) -> Iterator[Item]:
    """A peer's results, until its CLOSE.

    Args:
        link: to it.
        readable: messages the config's readers take. Texts that are no errors pass besides.

    Raises:
        CapacityError: it is full or draining.
        WorkerDiedError: its process died.
        ConnectionLostError: it went away without CLOSE.
        RemoteError: it reported an error; its own words.
        DeadlineError, ProtocolError: as the link raises them.
    """
    errors: list[str] = []
    lost: Exception = ConnectionLostError("it ended the connection without CLOSE")
    try:
        for message in link.messages():
            match message:
                case Close():
                    if errors:
                        raise _reported(errors)
                    return
                case Error(text):
                    errors.append(text)
                case Text(text) if is_error(text):
                    errors.append(text)
                case Text():
                    yield message
                case Response():
                    pass
                case _ if message_id(message) in readable:
                    yield message  # type: ignore[misc]  # control messages are not readable
                case _:
                    raise RemoteError(
                        f"it sent {message_id(message).name}, which no reader of the config takes"
                    )
    except (ConnectionLostError, ProtocolError) as error:
        lost = error
    # What it said of itself explains a lost connection better than the loss.
    raise _reported(errors) if errors else lost


def _reported(errors: list[str]) -> Exception:
    match next((fault for text in errors if (fault := fault_of(text))), None):
        case Fault.NODE_FULL | Fault.NODE_DRAINING:
            return CapacityError(errors[0])
        case Fault.WORKER_LOST:
            return WorkerDiedError(errors[0])
        case Fault.NODE_STOPPED:
            return ConnectionLostError(errors[0])
    return RemoteError("\n".join(errors))
