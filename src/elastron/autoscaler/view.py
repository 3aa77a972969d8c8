"""What the gateway says of demand and load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from elastron.errors import ElastronError
from elastron.fleet.model import Demand, NodeState

#: The answer takes a millisecond; who is silent for so long cannot be counted on.
_ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class Load:
    """What the gateway knows of one node."""

    state: NodeState
    running: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """The fleet as the gateway sees it at one moment.

    Attributes:
        demand: by pool.
        loads: by node.
    """

    demand: Mapping[str, Demand] = field(default_factory=dict)
    loads: Mapping[str, Load] = field(default_factory=dict)


class GatewaySource:
    """Asks a gateway's admin server.

    Args:
        url: of the admin server.
        client: for tests.
    """

    def __init__(self, url: str, *, client: httpx.AsyncClient | None = None) -> None:
        self._url = url.rstrip("/") + "/fleet"
        self._client = client or httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False)

    async def read(self) -> View:
        """Demand and load now.

        Raises:
            ElastronError: it does not answer, or not with a fleet.
        """
        try:
            answer = await self._client.get(self._url)
            return parse_fleet_answer(answer.raise_for_status().json())
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ElastronError(
                f"the gateway's {self._url} does not tell its demand: "
                f"{str(error) or type(error).__name__}"
            ) from error

    async def close(self) -> None:
        """End the connection."""
        await self._client.aclose()


def parse_fleet_answer(answer: Any) -> View:
    """Read what `GET /fleet` gave.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is not of that form.
    """
    return View(
        demand={
            str(pool): Demand(int(each["running"]), int(each["queued"]))
            for pool, each in answer["pools"].items()
        },
        loads={
            str(each["id"]): Load(NodeState(each["state"]), int(each["running"]))
            for each in answer["nodes"]
        },
    )
