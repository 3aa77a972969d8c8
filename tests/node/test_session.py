"""One session over a socket pair, in this process."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from elastron.node.scoreboard import Scoreboard, SessionState
from elastron.node.session import Session
from elastron.node.settings import NodeSettings
from elastron.wire.messages import Close, ConfigName, ConfigXml, HeaderXml, Message, Query, Response

from .harness import HEADER, Peer, images, scan, stream_config, texts, wait_for, wire_bytes

DEFAULT = ConfigName("default.xml")


class Running:
    """A session in a thread, and the client's end of its socket."""

    def __init__(self, **settings: Any) -> None:
        ours, theirs = socket.socketpair()
        self.client = Peer.__new__(Peer)
        self.client.socket = theirs
        theirs.settimeout(60)
        self.board = Scoreboard()
        self.logger = CapturingLogger()
        self.report: dict[str, Any] = {}
        self.session = Session(
            ours,
            NodeSettings(**{"linger_timeout_s": 0.2} | settings),
            self.board,
            threads=1,
            status={"running": 1},
            log=self.logger,
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.report = self.session.run()

    def answer(self) -> list[Message]:
        messages = self.client.receive()
        self.thread.join(60)
        assert not self.thread.is_alive()
        return messages

    @property
    def states(self) -> list[str]:
        lines = [call.args[0] for call in self.logger.calls]
        return [line for line in lines if line.startswith("Connection state")]


@pytest.fixture
def running() -> Iterator[Running]:
    session = Running()
    yield session
    session.client.socket.close()
    session.thread.join(60)
    session.board.close()


def test_a_scan(running: Running) -> None:
    running.client.send(DEFAULT, HeaderXml(HEADER), scan(repetitions=2), Close())
    answer = running.answer()
    assert len(images(answer)) == 2
    assert answer[-1] == Close()
    assert running.states == [
        "Connection state: [CONFIG]",
        "Connection state: [HEADER]",
        "Connection state: [STREAM]",
        "Connection state: [FINISHED]",
    ]
    assert running.report == {"outcome": "ok"}
    board = running.board
    assert (board.acquisitions, board.images, board.config_name) == (64, 2, "default.xml")
    assert board.state is SessionState.LINGER
    assert not board.state.running
    assert board.bytes_in > 64 * 1366
    assert board.writing == 0


def test_close_at_once(running: Running) -> None:
    running.client.send(Close())
    assert running.answer() == [Close()]
    assert running.states == ["Connection state: [CONFIG]", "Connection state: [FINISHED]"]
    assert running.report == {"outcome": "ok"}


def test_close_after_the_config_runs_the_chain_without_input(running: Running) -> None:
    running.client.send(ConfigName("isalive.xml"), Close())
    assert running.answer() == [Close()]
    assert "Connection state: [VOID]" in running.states
    assert "Connection state: [STREAM]" not in running.states


def test_close_after_the_header(running: Running) -> None:
    running.client.send(DEFAULT, HeaderXml(HEADER), Close())
    assert running.answer() == [Close()]
    assert running.report == {"outcome": "ok"}


def test_an_empty_chain_takes_everything(running: Running) -> None:
    running.client.send(ConfigXml(stream_config().xml), HeaderXml(HEADER), scan(), Close())
    assert running.answer() == [Close()]
    assert running.board.acquisitions == 32


def test_queries_are_answered_in_every_state(running: Running) -> None:
    ask = Query("gadgetron::info::memory", 7)
    running.client.send(
        ask, DEFAULT, ask, HeaderXml(HEADER), ask, scan(), Query("elastron::status", 2**64 - 1)
    )
    running.client.send(Close())
    answer = running.answer()
    responses = [message for message in answer if isinstance(message, Response)]
    assert [response.correlation_id for response in responses] == [7, 7, 7, 2**64 - 1]
    status = json.loads(responses[-1].response)
    assert status["state"] == "STREAM"
    assert len(images(answer)) == 1


def test_a_query_alone(running: Running) -> None:
    running.client.send(Query("what is this?", 1), Close())
    assert running.answer() == [Response("Unknown query", 1), Close()]


def test_images_come_while_the_scan_goes_on(running: Running) -> None:
    running.client.send(DEFAULT, HeaderXml(HEADER), scan(), scan(first=1))
    first = running.client.socket.recv(1000)  # nothing is closed yet
    assert first[:2] == (1022).to_bytes(2, "little")
    running.client.send(Close())
    running.client.socket.recv(100_000)


def test_an_error_of_the_gadgets_that_work_while_data_come(running: Running) -> None:
    short = scan()
    short = replace(short, data=short.data[..., :1].copy())  # nothing is left of it after the crop
    running.client.send(DEFAULT, HeaderXml(HEADER), short, scan(first=1), Close())
    answer = running.answer()
    assert "RemoveROOversampling: a readout of 1 samples" in texts(answer)
    assert texts(answer).startswith("[Connection Main Thread/")
    assert images(answer) == []
    assert answer[-1] == Close()
    assert running.report["outcome"] == "error"
    assert len(running.report["errors"]) == 1


def test_the_inline_config_has_no_name(running: Running) -> None:
    running.client.send(ConfigXml(b"<x/>"))
    answer = running.answer()
    assert "ERROR" in texts(answer)
    assert running.board.config_name == "<inline>"
    assert running.report["outcome"] == "error"
    assert len(running.report["errors"]) == 1


def test_cancel(running: Running) -> None:
    running.client.send(DEFAULT, HeaderXml(HEADER), scan())
    wait_for(lambda: running.board.acquisitions == 32, what="the scan")
    running.session.cancel("because of the test")
    answer = running.answer()
    assert "because of the test" in texts(answer)
    assert answer[-1] == Close()
    assert running.report["outcome"] == "cancelled"


def test_cancel_before_a_config(running: Running) -> None:
    running.session.cancel("because of the test")
    answer = running.answer()
    assert "because of the test" in texts(answer)


def test_header_and_data_stay_out_of_the_log(running: Running) -> None:
    broken = HEADER.replace(b"<x>64</x>", b"<x>Doe</x>")
    running.client.send(DEFAULT, HeaderXml(broken))
    running.answer()
    assert "Jane" not in str(running.logger.calls)


def test_a_client_that_reads_only_at_the_end() -> None:
    """Results wait in the outbox while the client still sends."""
    running = Running(output_queue_bytes_max=64 << 20, input_queue_bytes_max=1 << 16)
    running.client.send(DEFAULT, HeaderXml(HEADER))
    for i in range(300):
        running.client.send(scan(first=i))
    running.client.send(Close())
    assert len(images(running.answer())) == 300
    running.client.socket.close()
    running.board.close()


@pytest.mark.parametrize("config", ["default.xml", "isalive.xml"])
def test_a_client_that_falls_silent_is_told(config: str) -> None:
    running = Running(idle_timeout_s=0.3)
    running.client.send(ConfigName(config), HeaderXml(HEADER))
    assert "sent nothing for 0.3 s" in texts(running.answer())
    assert running.report["outcome"] == "timeout"
    running.client.socket.close()
    running.board.close()


def test_a_client_that_never_reads() -> None:
    # All at once: it must be its results that it does not take, not the scan that does not come.
    data = wire_bytes(DEFAULT, HeaderXml(HEADER), scan(repetitions=200))
    running = Running(output_queue_bytes_max=1, idle_timeout_s=3)
    with contextlib.suppress(OSError):
        running.client.send_bytes(data)
    running.thread.join(60)
    assert running.report["outcome"] == "timeout"
    assert "took none of its results" in running.report["errors"][0]
    running.client.socket.close()
    running.board.close()
