"""Real servers for the tests: ours in a thread or a process, PostgreSQL, Azurite, moto."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import pwd
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from elastron.storage import StorageSettings, serve
from tests.patience import Patience
from tests.ports import free_port

PARTS = Path(os.environ.get("ELASTRON_TEST_PARTS", "/opt/elastron-test-parts"))
LONG = os.environ.get("ELASTRON_LONG_TESTS") == "1"
#: For what another program does, on a machine that is busy with others.
START_S = 120
#: For one answer; httpx itself waits five seconds.
ANSWER_S = 60

LAUNCHER = """
import sys, uvloop
from elastron.storage import StorageSettings, configure_logging, serve
configure_logging("info")
settings = StorageSettings.model_validate_json(sys.argv[1])
uvloop.run(serve(settings, on_ready=lambda url: print(url, flush=True)))
"""


def wait_until(ready: Callable[[], bool], what: str, limit_s: float = START_S) -> None:
    patience = Patience(limit_s)
    while not ready():
        assert patience.lasts(), what
        time.sleep(0.05)


@contextlib.contextmanager
def running_server(settings: StorageSettings) -> Iterator[str]:
    """Our server in a thread; yields its URL."""
    started: queue.Queue[Any] = queue.Queue()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        await serve(
            settings,
            on_ready=lambda url: started.put((url, lambda: loop.call_soon_threadsafe(stop.set))),
            handle_signals=False,
            stop=stop,
        )

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            started.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    result = started.get(timeout=START_S)
    if isinstance(result, BaseException):
        raise result
    url, stop = result
    try:
        yield url
    finally:
        stop()
        thread.join(timeout=START_S)
        assert not thread.is_alive(), "the server did not stop"
        assert started.empty(), started.get()


class ServerProcess:
    """Our server in a process of its own."""

    def __init__(self, settings: dict[str, Any], log: Path) -> None:
        self.log = log
        text = StorageSettings(**settings).model_dump_json(exclude={"token", "database_password"})
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, text],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, f"the server did not start: {log.read_text()}"

    @property
    def resident_bytes(self) -> int:
        """The most memory it has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.close()

    def close(self) -> int:
        code = self.process.wait(timeout=START_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def folder_settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "port": 0,
        "database": str(folder / "metadata.db"),
        "blobs": str(folder / "blobs"),
        **more,
    }


def raw_exchange(url: str, request: bytes, *, timeout_s: float = ANSWER_S) -> bytes:
    """Send bytes as they are; everything that comes until the server closes."""
    with connect(url, timeout_s) as connection:
        connection.sendall(request)
        return receive_all(connection)


def connect(url: str, timeout_s: float = ANSWER_S) -> socket.socket:
    where = httpx.URL(url)
    return socket.create_connection((where.host, where.port), timeout=timeout_s)


def receive_all(connection: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return bytes(received)


def request_bytes(method: str, target: str, *lines: str, body: bytes = b"") -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: storage.test", "Connection: close", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


# PostgreSQL


def postgresql_programs() -> Path | None:
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return Path(found[-1]).parent if found else None


@contextlib.contextmanager
def running_postgresql() -> Iterator[str]:
    """A cluster of its own; yields keyword/value options without a database."""
    programs = postgresql_programs()
    assert programs is not None
    port = free_port()
    # Not pytest's folder: it is closed to other users, and PostgreSQL refuses to run as root.
    folder = tempfile.mkdtemp(prefix="elastron-postgresql-")
    prefix: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        prefix = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*prefix, str(programs / program), "-D", f"{folder}/data", *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)

    run("initdb", "-U", "mrd", "--auth=trust", "-E", "UTF8", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run("pg_ctl", "-w", "-t", str(START_S), "-l", f"{folder}/log", "-o", options, "start")
    try:
        yield f"host=127.0.0.1 port={port} user=mrd sslmode=disable"
    finally:
        run("pg_ctl", "-m", "immediate", "-t", str(START_S), "stop")
        shutil.rmtree(folder, ignore_errors=True)


def new_database(options: str, name: str) -> str:
    """Make a database; returns its connection string."""
    programs = postgresql_programs()
    assert programs is not None
    fields = dict(word.split("=") for word in options.split())
    subprocess.run(
        [
            str(programs / "createdb"),
            "-h",
            fields["host"],
            "-p",
            fields["port"],
            "-U",
            fields["user"],
            name,
        ],
        check=True,
    )
    return f"{options} dbname={name}"


# Azurite


def azurite_program() -> Path | None:
    program = PARTS / "node_modules/.bin/azurite-blob"
    return program if program.exists() and shutil.which("node") else None


@contextlib.contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """Azure's emulator; yields a connection string."""
    port = free_port()
    command = [str(azurite_program()), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--location", str(folder), "--silent", "--skipApiVersionCheck"]
    command += ["--disableTelemetry"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), "Azurite did not start")
            key = (
                "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
                "K1SZFPTOtr/KBHBeksoGMGw=="
            )
            yield (
                f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};"
                f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
            )
        finally:
            process.kill()


# S3


@contextlib.contextmanager
def running_s3(folder: Path) -> Iterator[str]:
    """moto's S3 server with a bucket; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = folder / "moto.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as moto:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(f"{endpoint}/moto-api/"), "moto did not start")
            httpx.put(f"{endpoint}/blobs", timeout=ANSWER_S, trust_env=False).raise_for_status()
            yield f"s3://blobs/some/prefix?region=us-east-1&endpoint={endpoint}"
        finally:
            moto.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S):  # noqa: S310 - loopback
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return True
    except OSError:
        return False


@contextlib.contextmanager
def server(folder: Path, **more: Any) -> Iterator[httpx.Client]:
    """A client of a server in this process."""
    settings = StorageSettings(**folder_settings(folder, **more))
    with (
        running_server(settings) as url,
        httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False) as client,
    ):
        yield client


def create(client: httpx.Client, query: str, body: bytes = b"x", **headers: str) -> dict[str, Any]:
    """A new blob, as it is answered with."""
    answer = client.post(f"/v1/blobs/data?{query}", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()
