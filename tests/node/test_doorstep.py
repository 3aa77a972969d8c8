"""Clients that have not spoken yet. With a node around it: `test_supervisor`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from structlog.testing import CapturingLogger

from elastron.node.doorstep import Doorstep, warn_of_open_doors
from elastron.node.metrics import NodeMetrics
from elastron.node.settings import NodeSettings
from elastron.service.address import Address


def doorstep() -> Doorstep:
    metrics = NodeMetrics(
        capacity=1, running=lambda: 0, traffic=lambda: (0, 0), idle_workers=lambda: 1
    )
    return Doorstep(NodeSettings(), metrics)


@contextlib.asynccontextmanager
async def silent_client() -> AsyncIterator[
    tuple[Doorstep, asyncio.Task[bytes], socket.socket, socket.socket]
]:
    """The doorstep with a client on it, its first bytes, and both ends of its socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        waiting = doorstep()
        found = asyncio.create_task(waiting.first_bytes(ours, CapturingLogger(), "peer"))
        async with asyncio.timeout(30):
            while not len(waiting):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        yield waiting, found, ours, theirs


async def test_what_a_client_said_first_stays_in_the_socket() -> None:
    async with silent_client() as (waiting, found, ours, theirs):
        theirs.send(b"hello")
        assert await found == b"hello"
        assert ours.recv(5) == b"hello"
        assert len(waiting) == 0


async def test_nobody_waits_once_it_is_cleared() -> None:
    async with silent_client() as (waiting, found, _, _):
        waiting.clear()
        assert await found  # to be refused


def test_only_doors_open_to_other_machines_are_warned_of() -> None:
    log = CapturingLogger()
    warn_of_open_doors(
        log, scans=Address.parse("0.0.0.0:9002"), admin=Address.parse("127.0.0.1:1"), none=None
    )
    (call,) = log.calls
    assert "for scans beyond this machine" in call.args[0]
