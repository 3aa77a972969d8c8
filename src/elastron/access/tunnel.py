"""What both kinds of tunnel have in common."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from elastron.access.probe import NoAnswerError, probe
from elastron.access.problems import Kind, Problem
from elastron.service.address import Address

#: From the first attempt on, the pause between two of them doubles up to the longest.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
#: Another program's words are there at once; on a busy machine it may have to wait for a turn.
_WORDS_S = 2.0
_LOOK_S = 0.05


class Tunnel(Protocol):
    """A local address that leads to a gateway.

    Attributes:
        address: what clients here connect to.
        problem: what is wrong, as far as the tunnel itself knows; None: nothing.
        busy: connections through it now.
    """

    address: Address
    problem: Problem | None

    @property
    def busy(self) -> int:
        """Connections through it now."""
        ...

    async def start(self) -> None:
        """Listen."""
        ...

    async def stop(self) -> None:
        """End it, and what runs through it."""
        ...


async def check(tunnel: Tunnel, timeout_s: float) -> str:
    """Ask the gateway who it is, through the tunnel; the first line of its answer.

    Raises:
        TunnelError: it does not answer; the problem says why.
    """
    try:
        return await probe(tunnel.address, timeout_s)
    except NoAnswerError as error:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WORDS_S):
                while tunnel.problem is None:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(_LOOK_S)
        problem = tunnel.problem or Problem(
            Kind.NO_ANSWER, f"the tunnel is open, but the gateway does not answer: {error}"
        )
        raise TunnelError(problem) from None


class TunnelError(Exception):
    """A tunnel does not work.

    Attributes:
        problem: why.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


async def keep(
    tunnel: Tunnel,
    *,
    every_s: float,
    timeout_s: float,
    on_change: Callable[[str | Problem], None],
) -> Problem:
    """Look after a tunnel until it cannot be helped.

    Args:
        every_s: between two checks; while scans go through it, they are check enough.
        on_change: told the gateway's answer when it begins to answer, and the problem when it
            stops or a different one comes up.

    Returns:
        A problem that waiting does not mend, at the first check. Later ones are waited out: keys
        are replaced and gateways restarted while nobody looks.
    """
    known: str | None = None
    pause, first = FIRST_PAUSE_S, True
    while True:
        if first or not tunnel.busy:
            try:
                answer = await check(tunnel, timeout_s)
            except TunnelError as error:
                if first and error.problem.lasting:
                    return error.problem
                if known != error.problem.text:
                    known = error.problem.text
                    on_change(error.problem)
                await asyncio.sleep(min(pause, every_s))
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            first, pause = False, FIRST_PAUSE_S
            if known != "":
                known = ""
                on_change(answer)
        await asyncio.sleep(every_s)
