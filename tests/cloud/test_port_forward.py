"""A port that leads to pods, whichever of them are there; `stub_kubectl` stands in."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elastron.cloud.kubectl import Kubectl
from elastron.cloud.port_forward import PortForward
from elastron.errors import RemoteError
from tests.patience import wait_for
from tests.ports import free_port


class Pods:
    """Pods of one service; each answers with its name, and then what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "kubectl"
        source = (Path(__file__).parent / "stub_kubectl.py").read_text()
        program.write_text(f"#!{sys.executable} -S\n{source}")
        program.chmod(0o755)
        self.kubectl = Kubectl(binary=str(program), namespace="imaging")
        self.listeners: list[socket.socket] = []

    def start(self, name: str, **more: bool) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.listeners.append(listener)
        self.say(name, port=listener.getsockname()[1], **more)

        def serve() -> None:
            while True:
                try:
                    conn, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(conn,), daemon=True).start()

        def answer(conn: socket.socket) -> None:
            with conn, contextlib.suppress(OSError):  # whoever looks in leaves as it likes
                conn.sendall(name.encode() + b"\n")
                while piece := conn.recv(65536):
                    conn.sendall(piece)

        threading.Thread(target=serve, daemon=True).start()

    def say(self, name: str, **more: object) -> None:
        path = self.folder / f"{name}.pod"
        known = json.loads(path.read_text()) if path.exists() else {}
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(known | more))
        shutil.move(fresh, path)

    def kill(self, name: str) -> None:
        (self.folder / f"{name}.pod").unlink()


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    pods = Pods(tmp_path)
    yield pods
    for each in pods.listeners:
        each.close()


@contextlib.contextmanager
def connected(port: int) -> Iterator[tuple[str, socket.socket]]:
    """A connection, and the name of the pod at its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as conn:
        name = b""
        while not name.endswith(b"\n"):
            piece = conn.recv(1)
            assert piece, "nobody answers"
            name += piece
        yield name.decode().strip(), conn


def pod_at(port: int) -> str:
    with connected(port) as (name, _):
        return name


def test_bytes_go_both_ways(pods: Pods):
    pods.start("a")
    with (
        pods.kubectl.port_forward("service/door", 9002) as forward,
        connected(forward.port) as (name, conn),
    ):
        assert name == "a"
        assert forward.address == f"127.0.0.1:{forward.port}"
        sent = b"0123456789" * 200_000
        threading.Thread(target=conn.sendall, args=(sent,), daemon=True).start()
        got = bytearray()
        while len(got) < len(sent):
            got += conn.recv(65536)
        assert bytes(got) == sent
        conn.shutdown(socket.SHUT_WR)
        assert conn.recv(1) == b""


def test_a_pod_by_its_name_and_a_port_of_ones_own(pods: Pods):
    pods.start("a")
    pods.start("b")
    port = free_port()
    with pods.kubectl.port_forward("pod/b", "scans", local_port=port) as forward:
        assert forward.port == port
        assert pod_at(port) == "b"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)


def test_pods_that_are_not_ready_or_leave_are_passed_over(pods: Pods):
    pods.start("a", ready=False)
    pods.start("b", leaving=True)
    pods.start("c")
    with pods.kubectl.port_forward("service/door", "scans") as forward:
        assert pod_at(forward.port) == "c"


def test_the_first_way_is_no_change_for_who_waited_for_it(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
):
    pods.start("a")
    turn = PortForward._turn
    waited: list[bool] = []

    async def watched(self: PortForward, *change: Any) -> None:
        self.on_change = lambda: waited.append(self._first.is_set())
        await turn(self, *change)

    monkeypatch.setattr(PortForward, "_turn", watched)
    with pods.kubectl.port_forward("service/door", 9002):
        assert waited == [False]


def test_when_a_pod_leaves_new_connections_go_to_another_and_old_ones_stay(pods: Pods):
    pods.start("a")
    changes: list[str] = []
    with pods.kubectl.port_forward("service/door", 9002) as forward:
        forward.on_change = lambda: changes.append(forward.problem)
        with connected(forward.port) as (name, conn):
            assert name == "a"
            pods.start("b")
            pods.say("a", leaving=True)
            wait_for(lambda: forward.begun == 2, what="the other pod", timeout_s=60)
            assert pod_at(forward.port) == "b"
            conn.sendall(b"still here")
            assert conn.recv(100) == b"still here"
    assert changes == ["pod a leaves", ""]


def test_when_a_pod_dies_connections_wait_for_the_next_one(pods: Pods):
    pods.start("a")
    with pods.kubectl.port_forward("service/door", 9002) as forward:
        assert pod_at(forward.port) == "a"
        pods.kill("a")
        wait_for(lambda: bool(forward.problem), what="the end", timeout_s=60)
        found: list[str] = []
        waiter = threading.Thread(target=lambda: found.append(pod_at(forward.port)))
        waiter.start()
        pods.start("b")
        waiter.join(60)
        assert found == ["b"]
        assert forward.wait_up(60)


def test_what_cannot_begin_is_told(pods: Pods):
    with (
        pytest.raises(RemoteError, match="No pod of service door is ready"),
        pods.kubectl.port_forward("service/door", 9002),
    ):
        pass
    with (
        pytest.raises(RemoteError, match="no service absent"),
        pods.kubectl.port_forward("service/absent", 9002),
    ):
        pass
    with (
        pytest.raises(RemoteError, match="no port 1"),
        pods.kubectl.port_forward("service/door", 1),
    ):
        pass
    with (
        pytest.raises(RemoteError, match='pods "absent" not found'),
        pods.kubectl.port_forward("pod/absent", 9002),
    ):
        pass
    pods.start("a")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(RemoteError, match="cannot be listened on"),
            pods.kubectl.port_forward("pod/a", 9002, local_port=port),
        ):
            pass
