"""What is said of a tunnel that does not lead to a gateway."""

from __future__ import annotations

import asyncio

import pytest

from elastron.access.problems import Kind, Problem
from elastron.access.tunnel import TunnelError, check
from elastron.service.address import Address
from tests.ports import free_port


class Closed:
    """A tunnel that nobody answers in."""

    def __init__(self) -> None:
        self.address = Address("127.0.0.1", free_port())
        self.problem: Problem | None = None
        self.busy = 0

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


async def test_another_programs_words_may_come_late() -> None:
    tunnel, words = Closed(), Problem(Kind.WRONG_KEY, "it does not take the key")
    asyncio.get_running_loop().call_later(0.5, setattr, tunnel, "problem", words)
    with pytest.raises(TunnelError) as caught:
        await check(tunnel, 60)
    assert caught.value.problem is words


async def test_without_words_the_silence_itself_is_told() -> None:
    with pytest.raises(TunnelError, match="the gateway does not answer") as caught:
        await check(Closed(), 60)
    assert caught.value.problem.kind is Kind.NO_ANSWER
