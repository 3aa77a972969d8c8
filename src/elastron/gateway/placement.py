"""The placer: gives every scan a node, now or when its turn has come.

Skeleton of the interface; the body follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from elastron.fleet.model import Demand, Node
from elastron.fleet.queueing import Priority
from elastron.gateway.nodes import Events, Registry


class PlacementSettings(BaseModel):
    """How scans are queued."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue_length_max: int = Field(
        1000, ge=0, description="Scans that may wait; more are refused. 0: nobody waits."
    )
    queue_timeout_s: float = Field(
        3600, gt=0, description="A scan that has waited so long is refused."
    )


@dataclass(frozen=True, slots=True)
class Request:
    """A scan that wants a node.

    Attributes:
        session: its id in the gateway.
        config_name: for events and logs; "<inline>" for one by value.
        pool: whose nodes may take it.
        needs: capabilities a node must have.
        memory_bytes: estimate of what it will need; 0: not known.
        tenant: whose scan it is.
        priority: inline goes before offline.
        exclude: ids of nodes that must not get it (they failed with it).
        after: its earlier placement, when that came to nothing (the node was full, or failed): the
            scan then has its old place in the queue.
    """

    session: str
    config_name: str = ""
    pool: str = "default"
    needs: frozenset[str] = frozenset()
    memory_bytes: int = 0
    tenant: str = ""
    priority: Priority = Priority.INLINE
    exclude: frozenset[str] = frozenset()
    after: Placement | None = None


@dataclass(slots=True, eq=False)
class Placement:
    """A place on a node, held until `release` is called.

    Attributes:
        node: as it was when chosen; connect to `node.address`.
        waited_s: in the queue.
        lost: resolves with a reason when the node is found dead. Do not cancel it; shield it, or
            add a callback.
    """

    node: Node
    request: Request
    waited_s: float
    lost: asyncio.Future[str]
    _release: Callable[[], None] = field(repr=False)

    def release(self) -> None:
        """Give the place back; a second call does nothing."""
        raise NotImplementedError


class Placer:
    """The queue before the nodes. All methods belong to the event loop."""

    def __init__(
        self,
        registry: Registry,
        settings: PlacementSettings,
        events: Events,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        raise NotImplementedError

    async def place(
        self, request: Request, *, on_position: Callable[[int], None] | None = None
    ) -> Placement:
        """Wait for a node. Cancelling gives the place in the queue back.

        Args:
            request: what is wanted.
            on_position: told the place in the queue (1: next) whenever it changes.

        Raises:
            QueueFullError: too many wait already.
            QueueTimeoutError: no node became free in time.
        """
        raise NotImplementedError

    def position(self, session: str) -> int | None:
        """Its place in its pool's queue, 1 for the next; None: it does not wait."""
        raise NotImplementedError

    def queue(self) -> list[dict[str, Any]]:
        """The waiting scans as `GET /queue` tells them, in order within each pool."""
        raise NotImplementedError

    def demand(self) -> dict[str, Demand]:
        """Running and waiting scans of each pool that has nodes or scans."""
        raise NotImplementedError

    def pools(self) -> dict[str, dict[str, int]]:
        """`running`, `queued` and `capacity` of each pool, as `GET /fleet` tells them."""
        raise NotImplementedError
