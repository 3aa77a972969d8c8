"""Processes that die, a node that is full, and how it goes down."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from elastron.node import Node, NodeSettings
from elastron.pipeline import parse_config, serialize_config
from elastron.wire.messages import Close, ConfigName, ConfigXml, Error, HeaderXml, Message
from elastron.wire.scan_mark import marked, new_mark

from .harness import (
    HEADER,
    NodeProcess,
    Peer,
    check_good_scan,
    images,
    running_node,
    scan,
    stream_config,
    texts,
    wait_for,
    wire_bytes,
)

DEFAULT = ConfigName("default.xml")


@pytest.fixture
def bystander(node: NodeProcess) -> Iterator[None]:
    """A good session that runs meanwhile."""
    with node.connect() as peer:
        peer.send(DEFAULT, HeaderXml(HEADER), scan())
        yield
        peer.send(scan(first=1), Close())
        answer = peer.receive()
    assert len(images(answer)) == 2
    assert not texts(answer)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    ("how", "reason"),
    [("kill", "signal 9, SIGKILL"), ("abort", "signal 6, SIGABRT"), ("exit", "exit status 3")],
)
def test_a_worker_that_dies(node: NodeProcess, how: str, reason: str) -> None:
    before = node.metric('elastron_sessions_total{outcome="crashed"}')
    with node.connect() as peer:
        peer.send(stream_config(f"FailGadget:how={how}"), HeaderXml(HEADER), scan(), Close())
        answer = peer.receive()
    assert "the reconstruction process died" in texts(answer)
    assert reason in texts(answer)
    assert answer[-1] == Close()
    wait_for(
        lambda: node.metric('elastron_sessions_total{outcome="crashed"}') == before + 1,
        what="the end of a crashed session",
    )
    check_good_scan(node.port)


def test_a_worker_killed_from_outside(node: NodeProcess) -> None:
    with node.connect() as peer:
        # No data: a process killed within an image could add nothing to it.
        peer.send(DEFAULT, HeaderXml(HEADER))
        os.kill(node.wait_for_session()["pid"], signal.SIGKILL)
        assert "SIGKILL" in texts(peer.receive())
    check_good_scan(node.port)


def test_a_worker_killed_within_a_message_adds_nothing_to_it(node: NodeProcess) -> None:
    """An error text in the middle of an image would look like pixels."""
    data = wire_bytes(scan(repetitions=20))

    def send_forever(peer: Peer) -> None:
        while True:
            peer.send_bytes(data)

    with node.connect() as peer:
        peer.send(stream_config("EchoGadget"), HeaderXml(HEADER))
        peer.socket.settimeout(1)
        with pytest.raises(TimeoutError):  # all buffers between us are full
            send_forever(peer)
        wait_for(lambda: _stands_still(node), what="a process that can send no more")
        os.kill(node.wait_for_session()["pid"], signal.SIGKILL)
        peer.socket.settimeout(60)
        received = b""
        try:
            while data := peer.socket.recv(1 << 20):
                received += data
        except ConnectionResetError:
            pass
    assert b"ERROR" not in received[-1000:]
    event = node.wait_for_log('"client_told": false.*"event": "worker died"')
    assert event["level"] == "error"
    check_good_scan(node.port)


def _stands_still(node: NodeProcess) -> bool:
    """Whether its session has moved nothing for a while."""

    def moved() -> list[tuple[int, int]]:
        return [(each["bytes_in"], each["bytes_out"]) for each in node.sessions()]

    before = moved()
    time.sleep(2)
    return moved() == before


def test_idle_workers_are_replaced(node: NodeProcess) -> None:
    wait_for(lambda: node.metric("elastron_idle_workers") == 2, what="idle workers")
    zygote = next(iter(psutil.Process(node.process.pid).children()))
    for child in zygote.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # the last session's has just ended
            child.kill()
    node.wait_for_log("an idle worker died")
    wait_for(lambda: node.get("/readyz").status_code == 200, what="readiness")
    check_good_scan(node.port)


def test_a_zygote_that_dies_is_replaced_and_sessions_go_on(node: NodeProcess) -> None:
    with node.connect() as peer:
        peer.send(DEFAULT, HeaderXml(HEADER), scan())
        node.wait_for_session()
        zygote = next(iter(psutil.Process(node.process.pid).children()))
        zygote.kill()
        node.wait_for_log("the zygote died")
        peer.send(scan(first=1), Close())
        answer = peer.receive()
    assert len(images(answer)) == 2
    for _ in range(5):  # more than were idle
        check_good_scan(node.port)


def part(node: NodeProcess, mark: str, gadget: str = "EchoGadget") -> tuple[str, list[Message]]:
    """A part of another node's scan, until its session is over: the process, and the answer."""
    config = ConfigXml(marked(serialize_config(parse_config(stream_config(gadget).xml)), mark))
    begun = len(node.events('"session begins"'))
    with node.connect() as peer:
        answer = peer.send(config, HeaderXml(HEADER), scan(), Close()).receive()
    begins = node.wait_for_log('"session begins"', count=begun + 1)
    wait_for(
        lambda: any(e["session"] == begins["session"] for e in node.events('"session ended"')),
        what="the end of the session",
    )
    return begins["worker"], answer


def test_parts_of_one_scan_share_a_process_and_no_others_do(node: NodeProcess) -> None:
    one, other = new_mark(), new_mark()
    workers = [part(node, mark)[0] for mark in (one, one, other, one, other)]
    assert workers[0] == workers[1] == workers[3]
    assert workers[2] == workers[4] != workers[0]
    begun = len(node.events('"session begins"'))
    check_good_scan(node.port)
    assert node.wait_for_log('"session begins"', count=begun + 1)["worker"] not in workers


def test_a_part_that_fails_ends_its_process(node: NodeProcess) -> None:
    mark = new_mark()
    first, _ = part(node, mark)
    failed, answer = part(node, mark, "FailGadget:how=raise")
    assert failed == first
    assert isinstance(answer[0], Error)
    assert part(node, mark)[0] != first


def test_workers_end_with_their_session(node: NodeProcess) -> None:
    zygote = next(iter(psutil.Process(node.process.pid).children()))
    for _ in range(10):
        check_good_scan(node.port)
    # One that has ended counts until it is buried.
    wait_for(lambda: len(zygote.children()) <= 2, what="two idle workers only")
    wait_for(lambda: not any(map(_is_zombie, zygote.children())), what="all buried")


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_descriptors_are_given_back(node: NodeProcess) -> None:
    process = psutil.Process(node.process.pid)
    check_good_scan(node.port)
    before = process.num_fds()
    for _ in range(20):
        check_good_scan(node.port)
    wait_for(lambda: process.num_fds() <= before + 4, what="as many descriptors as before")


def test_cancel_by_the_operator(node: NodeProcess) -> None:
    with node.connect() as peer:
        peer.send(DEFAULT, HeaderXml(HEADER), scan())
        session = node.wait_for_session()
        answer = httpx.delete(f"{node.admin}/sessions/{session['id']}", timeout=60, trust_env=False)
        assert answer.status_code == 202
        assert "cancelled by the operator" in texts(peer.receive())


def test_a_session_that_ignores_its_cancel_is_killed(node: NodeProcess) -> None:
    with node.connect() as peer:
        peer.send(stream_config("StuckGadget"), HeaderXml(HEADER), scan())
        session = node.wait_for_session()
        url = f"{node.admin}/sessions/{session['id']}/cancel"
        assert httpx.post(url, timeout=60, trust_env=False).status_code == 202
        answer = peer.receive()
    assert "cancelled by the operator" in texts(answer)
    assert answer[-1] == Close()


def test_a_full_node_says_so(tmp_path: Path) -> None:
    with running_node(tmp_path, capacity=1, cancel_grace_s=0.5) as node:
        with node.connect() as first, node.connect() as second:
            first.send(stream_config("StuckGadget"), HeaderXml(HEADER), scan())
            session = node.wait_for_session()
            second.send(DEFAULT, HeaderXml(HEADER), scan(), Close())
            answer = second.receive()
            assert "node is full (1 of 1 sessions running)" in texts(answer)
            assert answer[-1] == Close()
            httpx.delete(f"{node.admin}/sessions/{session['id']}", timeout=60, trust_env=False)
        wait_for(lambda: not node.sessions(), what="an empty node")
        check_good_scan(node.port)
        assert node.metric('elastron_refused_total{reason="full"}') == 1


def test_a_session_that_lasts_too_long(tmp_path: Path) -> None:
    """Its chain does not let itself be stopped."""
    with running_node(tmp_path, capacity=1, total_timeout_s=2, cancel_grace_s=0.5) as node:
        with node.connect() as peer:
            peer.send(stream_config("StuckGadget"), HeaderXml(HEADER), scan())
            assert "session lasted longer than 2 s" in texts(peer.receive())
        wait_for(lambda: not node.sessions(), what="an empty node")
        assert node.metric('elastron_sessions_total{outcome="timeout"}') == 1


def test_absurd_demands_for_memory_are_errors(node: NodeProcess) -> None:
    with node.connect() as peer:
        config = stream_config("FailGadget:how=memory")
        answer = peer.send(config, HeaderXml(HEADER), scan(), Close()).receive()
    assert "MemoryError" in texts(answer)
    check_good_scan(node.port)


def test_sigterm_drains(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        with node.connect() as peer, node.connect() as silent:
            peer.send(DEFAULT, HeaderXml(HEADER), scan())
            node.wait_for_session()
            node.process.send_signal(signal.SIGTERM)
            node.wait_for_log('"draining"')
            assert "draining" in texts(silent.receive())
            with pytest.raises(ConnectionRefusedError):
                wait_for(lambda: not node.connect(), what="a refusal")
            assert node.get("/readyz").status_code == 503
            assert node.get("/healthz").status_code == 200
            peer.send(scan(first=1), Close())
            answer = peer.receive()
        assert len(images(answer)) == 2
        assert node.process.wait(60) == 0
    assert not texts(answer)


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        with node.connect() as peer:
            peer.send(DEFAULT, HeaderXml(HEADER), scan())
            node.wait_for_session()
            node.process.send_signal(signal.SIGINT)
            node.wait_for_log('"draining"')
            node.process.send_signal(signal.SIGINT)
            assert "node is being stopped" in texts(peer.receive())
        assert node.process.wait(60) == 0
        wait_for(lambda: not _processes_of(tmp_path), what="no process left")


def test_drain_by_http_waits_and_gives_up_in_the_end(tmp_path: Path) -> None:
    with running_node(tmp_path, drain_timeout_s=1, linger_timeout_s=0.2) as node:
        with node.connect() as peer:
            peer.send(DEFAULT, HeaderXml(HEADER), scan())
            node.wait_for_session()
            began = time.monotonic()
            answer = httpx.post(f"{node.admin}/drain", timeout=60, trust_env=False)
            assert time.monotonic() - began >= 1
            assert answer.json() == {"drained": True, "cancelled": 1}
            assert "waited 1 s, then went down" in texts(peer.receive())
        assert node.process.poll() is None  # it ends by a signal only


def test_a_supervisor_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, node.connect() as peer:
        peer.send(DEFAULT, HeaderXml(HEADER), scan())
        node.wait_for_session()
        assert len(_processes_of(tmp_path)) >= 3
        node.process.kill()
        wait_for(lambda: not _processes_of(tmp_path), what="no process left")
        assert "Warning" not in node.log_path.read_text()


def _processes_of(folder: Path) -> list[psutil.Process]:
    """Processes whose standard error is the node's log."""
    found = []
    for process in psutil.process_iter():
        try:
            target = os.readlink(f"/proc/{process.pid}/fd/2")
            if target == str(folder / "node.log") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            pass
    return found


async def test_in_process() -> None:
    """As `elastron up` and tests of others use it."""
    import asyncio

    settings = NodeSettings(listen="127.0.0.1:0", admin=None, capacity=2)
    async with Node(settings) as node:
        assert node.port != 0
        assert node.unready_reason() is None
        await asyncio.to_thread(check_good_scan, node.port)
        assert node.running == 0
        port = node.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_tcp_probes_cost_no_worker(node: NodeProcess) -> None:
    started = node.metric("gadgetron_reconstruction_start_total")
    probes = node.metric('elastron_sessions_total{outcome="probe"}')
    for _ in range(5):
        Peer(node.port).socket.close()
    wait_for(
        lambda: node.metric('elastron_sessions_total{outcome="probe"}') == probes + 5,
        what="five probes",
    )
    assert node.metric("gadgetron_reconstruction_start_total") == started


def test_several_at_once(node: NodeProcess) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            check_good_scan(node.port)
        except BaseException as error:
            failures.append(error)

    for _ in range(3):
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: not node.sessions(), what="an empty node")
    assert not failures
