"""The registry: which nodes there are, what state they are in, how much each runs.

Skeleton of the interface; the body follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from elastron.fleet.model import Node


class Events(Protocol):
    """Where changes are told."""

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Tell of one change."""


class RegistrySettings(BaseModel):
    """How nodes are found and asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: tuple[str, ...] = Field(
        (),
        description="Where nodes are: HOST:PORT[/ADMIN][@POOL], dns:NAME:PORT[/ADMIN][@POOL], "
        "kubernetes:SERVICE[.NAMESPACE][:PORT[/ADMIN]][@POOL], file:PATH.",
    )


class Registry:
    """The nodes, and what is known of them. All methods belong to the event loop."""

    def __init__(
        self,
        settings: RegistrySettings,
        events: Events,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Find the nodes and ask each once (bounded by a second), then go on in the background."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End discovery and probing."""
        raise NotImplementedError

    def nodes(self) -> list[Node]:
        """All nodes known now."""
        raise NotImplementedError

    def describe(self) -> list[dict[str, Any]]:
        """The nodes as `GET /fleet` tells them."""
        raise NotImplementedError

    def failed(self, node_id: str, reason: str, *, unreachable: bool = False) -> None:
        """A scan met a fault of this node: it is avoided for a while, and asked at once.

        Args:
            node_id: a node that has left is no error.
            reason: for people; no patient data.
            unreachable: no connection could be made: nothing is placed there until a pause
                (longer with each failure in a row) is over and it answers again.
        """
        raise NotImplementedError

    def full(self, node_id: str) -> None:
        """It refused a scan as full (another gateway uses it too): busy until it says otherwise."""
        raise NotImplementedError

    def draining(self, node_id: str) -> None:
        """It refused a scan as draining."""
        raise NotImplementedError

    def succeeded(self, node_id: str) -> None:
        """A scan there came to its end: earlier failures are forgotten."""
        raise NotImplementedError

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change of a node; the placer does."""
        raise NotImplementedError

    def reserve(self, node_id: str, memory_bytes: int) -> asyncio.Future[str]:
        """Count one more scan there; the future resolves with a reason when the node is lost."""
        raise NotImplementedError

    def release(self, node_id: str, memory_bytes: int, lost: asyncio.Future[str]) -> None:
        """Count it no more."""
        raise NotImplementedError
