"""What the autoscaler needs of the world."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from elastron.fleet.model import Node

if TYPE_CHECKING:
    from elastron.autoscaler.view import View


class Backend(Protocol):
    """Where nodes come from: processes of this machine, pods of a cluster.

    It is asked again and again; what it cannot do now it leaves, and is asked again.
    """

    async def nodes(self) -> list[Node]:
        """All nodes there are, those that are starting (STARTING) or leaving (DRAINING) too.

        How many scans a node runs is the source's to say.
        """
        ...

    async def start(self, pool: str, count: int) -> None:
        """Start `count` more nodes of a pool."""

    async def stop(self, ids: Collection[str]) -> None:
        """Take these nodes out of service; end each once it runs no scan, never before."""


class Source(Protocol):
    """Who knows the demand."""

    async def read(self) -> View:
        """Demand and load now.

        Raises:
            ElastronError: it does not answer.
        """
        ...
