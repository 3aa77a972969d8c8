"""Questions to a Gadgetron, and to what is none."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastron.node.beside.connections import connections_to
from elastron.node.beside.probe import Prober
from elastron.node.farewell import error_text
from elastron.service.address import Address
from elastron.wire import Decoder, encode
from elastron.wire.messages import Close
from tests.ports import free_port

from ..harness import wait_for
from .stand_in import StandIn


@contextlib.contextmanager
def answering(data: bytes | None) -> Iterator[Address]:
    """Something that answers `data` whatever it is asked; None: it hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            decoder = Decoder()
            with sock:
                # To its end: closing with bytes unread would reset the connection.
                while not any(isinstance(each, Close) for each in decoder.messages()):
                    decoder.feed(sock.recv(1000))
                sock.sendall(data or b"")

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address(*listener.getsockname())
        thread.join()


def ask(address: Address, timeout_s: float = 60) -> str | None:
    return asyncio.run(Prober(address, timeout_s).ask())


def test_a_gadgetron(tmp_path: Path) -> None:
    gadgetron = StandIn(tmp_path / "log")
    try:
        assert ask(Address("127.0.0.1", gadgetron.port)) is None
        gadgetron.silent.set()
        assert ask(Address("127.0.0.1", gadgetron.port), 0.2) == "no answer within 0.2 s"
        # A hanging one collects no questions.
        wait_for(lambda: not connections_to(gadgetron.port), what="the question's end")
    finally:
        gadgetron.stop()


def test_a_refusal_is_an_answer() -> None:
    refusal = b"".join(bytes(each) for each in (*encode(error_text("full")), *encode(Close())))
    with answering(refusal) as address:
        assert ask(address) is None


def test_a_reset_behind_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(20):
                sock, _ = listener.accept()
                with sock:
                    sock.recv(1000)
                    sock.sendall(b"".join(bytes(each) for each in encode(error_text("full"))))
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve)
        thread.start()
        said = {ask(Address(*listener.getsockname())) for _ in range(20)}
        thread.join()
    # The reset may overtake the answer, or meet our CLOSE; it is told as what it is.
    lost = {f"no connection: {os.strerror(each)}" for each in (errno.ECONNRESET, errno.EPIPE)}
    assert said <= {None, *lost}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "it hung up without an answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak the Gadgetron protocol"),
    ],
)
def test_what_is_none(data: bytes | None, reason: str) -> None:
    with answering(data) as address:
        said = ask(address)
    assert said is not None
    assert reason in said


async def test_a_question_is_known_as_ours_from_its_first_moment() -> None:
    """Or a look at the kernel's table would take it for a scan."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(*listener.getsockname())
        prober = Prober(address, 60)
        asking = asyncio.create_task(prober.ask())
        async with asyncio.timeout(60):
            while not (found := connections_to(address.port)):  # noqa: ASYNC110 - the kernel's
                await asyncio.sleep(0)
        assert [each.remote for each in found] == [prober.own]
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert prober.own is None


def test_nobody() -> None:
    said = ask(Address("127.0.0.1", free_port()))
    assert said is not None
    assert said.startswith("no connection")
