"""The door of `elastron up --expose psk`: who comes in, who does not, and what else is open."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from elastron.access.keyring import KeyFile
from elastron.fleet.local.folder import Record, StateFolder
from elastron.wire import encode
from elastron.wire.messages import Close, Query
from tests.access.charts import chart_stunnel, readme_stunnel
from tests.access.fleet import Fleet
from tests.access.programs import runs, until
from tests.cli.conftest import RunningServer
from tests.gateway.tls_parts import (
    HAS_PSK,
    PATIENCE_S,
    needs_openssl,
    needs_stunnel,
    s_client,
)

QUESTION = b"".join(
    bytes(part) for message in (Query("gadgetron::info", 1), Close()) for part in encode(message)
)


def answers(port: int) -> bool:
    """Whether a gateway does, at the end of a tunnel."""
    with contextlib.suppress(OSError):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            client.sendall(QUESTION)
            heard = b""
            while b"Version" not in heard and (piece := client.recv(4096)):
                heard += piece
        return b"Gadgetron Version" in heard
    return False


def many(port: int, count: int) -> list[bool]:
    """`count` connections, eight at a time."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: answers(port), range(count)))


# --- who does not come in -----------------------------------------------------------------------


@needs_stunnel
def test_a_wrong_key_and_an_unknown_site(fleet: Fleet, tmp_path: Path) -> None:
    secret = fleet.key("site-b").partition(":")[2]
    for identity in ("site-a", "stranger"):
        with readme_stunnel(tmp_path / identity, f"{identity}:{secret}", fleet.exposed) as port:
            assert not answers(port)
    # Who it said it was, and from where. A stunnel does not tell the names it does not know.
    until(lambda: "site-a" in fleet.log())
    assert re.search(r"127\.0\.0\.1:\d+", fleet.log())
    assert secret not in fleet.log()


@needs_openssl
@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_1", "-cipher", "ALL@SECLEVEL=0"),
        ("-tls1_2",),  # without a key
        ("-tls1_3",),
        ("-tls1_2", "-cipher", "PSK-AES128-CBC-SHA"),
        ("-tls1_2", "-cipher", "PSK-NULL-SHA256@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "PSK-AES256-GCM-SHA384"),  # without forward secrecy
    ],
    ids=["tls11", "tls12-no-key", "tls13-no-key", "old", "plain", "no-forward-secrecy"],
)
def test_old_versions_and_weak_ciphers(fleet: Fleet, options: tuple[str, ...]) -> None:
    if "-cipher" in options:
        secret = fleet.key("site-a").partition(":")[2]
        options = (*options, "-psk", secret.encode().hex(), "-psk_identity", "site-a")
    assert s_client(fleet.exposed, *options, said=QUESTION).returncode != 0


def test_plain_tcp(fleet: Fleet) -> None:
    assert not answers(fleet.exposed)
    assert answers(fleet.plain)


# --- keys that change ---------------------------------------------------------------------------


def _rotates_under_load(keys: KeyFile, port: int, folder: Path) -> None:
    """200 connections and more while keys change all the time.

    None with a good key is refused, and none with a revoked key gets in.
    """
    ring = keys.load().add("mover").add("noise")
    keys.save(ring)
    mover = ring.keys["mover"]

    def rotate_noise() -> None:
        while not done:
            ring = keys.load().revoke("noise")[0].add("noise")
            keys.save(ring)
            time.sleep(0.05)

    with contextlib.ExitStack() as stack:

        def way(site: str, key: str) -> int:
            return stack.enter_context(readme_stunnel(folder / site, key, port))

        steady = way("steady", _line(keys, "site-a"))
        old = way("old", f"mover:{mover.secret}")
        until(lambda: answers(old))
        ring, identity = keys.load().rotate("mover", datetime.now(UTC) + timedelta(hours=1))
        keys.save(ring)
        new = way("new", _line(keys, "mover"))
        assert identity == "mover@2"
        until(lambda: answers(new))
        done = False
        pool = stack.enter_context(ThreadPoolExecutor(1))
        noise = pool.submit(rotate_noise)
        try:
            assert all(many(steady, 100))
            assert all(many(old, 50))  # both, while the site changes over
            assert all(many(new, 50))
            done = True
            noise.result()
            keys.save(keys.load().revoke("mover")[0])  # the overlap has ended
            until(lambda: not answers(old))
            done = False
            noise = pool.submit(rotate_noise)
            assert not any(many(old, 50))
            assert not any(many(new, 50))
            assert all(many(steady, 100))
        finally:
            done = True
            noise.result()
            keys.save(keys.load().revoke("noise")[0])


def _line(keys: KeyFile, site: str) -> str:
    key = keys.load().current(site)
    return f"{key.identity}:{key.secret}"


@needs_stunnel
def test_keys_rotate_under_load(fleet: Fleet, tmp_path: Path) -> None:
    _rotates_under_load(KeyFile(fleet.keys), fleet.exposed, tmp_path)


@needs_stunnel
def test_keys_of_the_chart_rotate_under_load(fleet: Fleet, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "stunnel.secrets")
    keys.save(KeyFile(fleet.keys).load())
    with chart_stunnel(tmp_path / "server", keys.path, fleet.plain) as server:
        _rotates_under_load(keys, server.port, tmp_path)
        assert server.process.poll() is None


@needs_stunnel
def test_an_overlap_ends_by_itself(fleet: Fleet, tmp_path: Path) -> None:
    keys = KeyFile(fleet.keys)
    keys.save(keys.load().add("short"))
    with readme_stunnel(tmp_path, _line(keys, "short"), fleet.exposed) as port:
        until(lambda: answers(port))
        end = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)  # as keys keep it
        keys.save(keys.load().rotate("short", end)[0])
        until(lambda: not answers(port))
        assert datetime.now(UTC) > end
    keys.save(keys.load().revoke("short")[0])


# --- floods -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connections(port: int, count: int, said: bytes = b"") -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
            stack.enter_context(sock).sendall(said)
        yield


@contextlib.contextmanager
def _flood(door: int, tunnel: int) -> Iterator[None]:
    """1,000 handshakes that begin and go no further, or do not begin; 1,000 idle tunnels."""
    with (
        _connections(door, 500),
        _connections(door, 500, b"\x16\x03\x01\x02\x00\x01"),
        _connections(tunnel, 1000),
    ):
        yield


@needs_stunnel
def test_a_flood_keeps_no_scan_out(fleet: Fleet, tmp_path: Path) -> None:
    with (
        readme_stunnel(tmp_path / "flood", fleet.key("site-b"), fleet.exposed) as idle,
        readme_stunnel(tmp_path / "site", fleet.key("site-a"), fleet.exposed) as port,
        _flood(fleet.exposed, idle),
    ):
        assert np.array_equal(fleet.images(port), fleet.direct)


@needs_stunnel
def test_a_flood_of_the_chart_s_stunnel_keeps_no_scan_out(fleet: Fleet, tmp_path: Path) -> None:
    with (
        chart_stunnel(tmp_path / "server", fleet.keys, fleet.plain) as server,
        readme_stunnel(tmp_path / "flood", fleet.key("site-b"), server.port) as idle,
        readme_stunnel(tmp_path / "site", fleet.key("site-a"), server.port) as port,
        _flood(server.port, idle),
    ):
        assert np.array_equal(fleet.images(port), fleet.direct)
        # All of it counts against the 256 MiB that the chart gives the pod.
        assert sum(_memory_kib(pid) for pid in process_tree(server.process.pid)) < 200 << 10


def _memory_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 0 if found is None else int(found[1])


# --- what is open -------------------------------------------------------------------------------


def process_tree(root: int) -> set[int]:
    """Process ids of `root` and all it has started, also what was forked from those."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = status.read_text().partition(" ")
            parents[int(pid)] = int(rest.rpartition(") ")[2].split()[1])
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def listeners(pids: set[int]) -> set[tuple[str, int]]:
    """(host, port) of every TCP socket that listens, and UDP socket that is bound, of processes."""
    inodes: set[str] = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                inodes |= set(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
    found = set()
    for table, waiting in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == waiting and words[9] in inodes:
                host, port = words[1].split(":")
                raw = bytes.fromhex(host)  # in the machine's words, each the wrong way round
                packed = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
                found.add((str(ipaddress.ip_address(packed)), int(port, 16)))
    return found


def test_nothing_is_open_to_other_machines() -> None:
    server = RunningServer("--capacity", "1")
    try:
        found = listeners(process_tree(server.process.pid))
        names = ("scans", "admin", "storage")
        ports = {int(server.ready[name].rpartition(":")[2]) for name in names}
        assert ports <= {port for _, port in found}
        assert {host for host, _ in found} <= {"127.0.0.1", "::1"}
    finally:
        server.stop()


def test_one_door_is_open_to_other_machines(fleet: Fleet) -> None:
    """The same fleet, on every interface."""
    door = ("--expose", "psk", "--expose-at", ":0", "--psk-file", str(fleet.keys))
    server = RunningServer("--capacity", "1", "--storage", "none", *door)
    try:
        found = listeners(process_tree(server.process.pid))
        there = {port for host, port in found if not ipaddress.ip_address(host).is_loopback}
        assert there == {int(server.ready["exposed"].rpartition(":")[2])}
    finally:
        server.stop()


# --- stunnel beside a gateway -------------------------------------------------------------------


@pytest.mark.skipif(HAS_PSK, reason="the gateway of this Python ends TLS itself")
@needs_stunnel
def test_stunnel_stays_with_the_fleet_and_goes_with_it(fleet: Fleet, tmp_path: Path) -> None:
    door = ("--expose", "psk", "--expose-at", "127.0.0.1:0", "--psk-file", str(fleet.keys))
    server = RunningServer("--capacity", "1", "--storage", "none", "--lease", "0.5", *door)
    exposed = int(server.ready["exposed"].rpartition(":")[2])
    folder = StateFolder(server.state)

    def record() -> Record | None:
        return folder.record("stunnel")

    try:
        with readme_stunnel(tmp_path, fleet.key("site-a"), exposed) as port:
            assert answers(port)
            before = record()
            assert before is not None
            before.identity.signal(signal.SIGKILL)
            until(lambda: (now := record()) is not None and now.ready and now != before)
            assert answers(port)
        alive = process_tree(server.process.pid) - {server.process.pid}
        server.process.kill()
        until(lambda: not any(map(runs, alive)))
    finally:
        server.stop()
